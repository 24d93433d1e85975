// Reads FASTKERAS_* once, at first use; later changes come through `set`.
#include "core/config.h"

#include <array>
#include <charconv>
#include <cstdlib>
#include <mutex>

#include "core/errors.h"

#ifdef NDEBUG
#define FK_VERIFY_DEFAULT "0"
#else
#define FK_VERIFY_DEFAULT "1"
#endif

namespace fk::config {
namespace {

struct Row {
    std::string_view name;
    Type type;
    std::string_view fallback, doc;
};

constexpr Row kRows[] = {
#define FK_CONFIG(name, type, fallback, doc) {#name, Type::type, fallback, doc},
#include "core/config.def"
#undef FK_CONFIG
};
constexpr size_t kCount = std::size(kRows);

int64_t parse_integer(const Row& row, std::string_view value) {
    if (row.type == Type::boolean && (value == "true" || value == "True")) return 1;
    if (row.type == Type::boolean && (value == "false" || value == "False")) return 0;
    int64_t n = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), n);
    if (error != std::errc{} || end != value.data() + value.size() || n < 0 || (row.type == Type::boolean && n > 1))
        fail<UserError>("FASTKERAS setting '", row.name, "' got '", value, "'; expected ",
                        row.type == Type::boolean ? "0 or 1" : "an integer >= 0");
    return n;
}

std::string_view trimmed(std::string_view item) {
    while (item.starts_with(' ')) item.remove_prefix(1);
    while (item.ends_with(' ')) item.remove_suffix(1);
    return item;
}

// A list may name what its doc names, so that a misspelt pass or topic is an error.
void check_items(const Row& row, std::string_view value) {
    if (!row.doc.starts_with("Comma-separated")) return;
    for (size_t at = 0; at < value.size();) {
        const size_t comma = std::min(value.find(',', at), value.size());
        const std::string_view item = trimmed(value.substr(at, comma - at));
        bool known = item.empty();
        auto is_word = [](char c) { return c == '_' || (c >= 'a' && c <= 'z'); };
        for (size_t i = row.doc.find(item, row.doc.find(':')); !known && i != std::string_view::npos;
             i = row.doc.find(item, i + 1))
            known = !is_word(row.doc[i - 1]) && (i + item.size() == row.doc.size() || !is_word(row.doc[i + item.size()]));
        if (!known)
            fail<UserError>("FASTKERAS setting '", row.name, "' got '", value, "', in which '", item, "' is unknown. ", row.doc);
        at = comma + 1;
    }
}

struct Store {
    std::mutex mutex;
    std::array<std::string, kCount> texts;
    std::array<int64_t, kCount> integers{};

    Store() {
        for (size_t i = 0; i < kCount; ++i) {
            std::string variable = "FASTKERAS_";
            for (char ch : kRows[i].name) variable += static_cast<char>(ch >= 'a' && ch <= 'z' ? ch - 'a' + 'A' : ch);
            const char* found = std::getenv(variable.c_str());
            put(i, found != nullptr ? std::string_view(found) : kRows[i].fallback);
        }
    }
    void put(size_t i, std::string_view value) {
        if (kRows[i].type == Type::text)
            check_items(kRows[i], value), integers[i] = !value.empty();
        else
            integers[i] = parse_integer(kRows[i], value);
        texts[i] = value;
    }
};

Store& store() {
    static Store s;
    return s;
}

}  // namespace

int64_t integer(Key key) { return store().integers[static_cast<size_t>(key)]; }

std::string text(Key key) {
    const std::lock_guard lock(store().mutex);
    return store().texts[static_cast<size_t>(key)];
}

bool lists(Key key, std::string_view item) {
    if (integer(key) == 0) return false;  // nothing is listed: the usual case, without the lock
    const std::string all = text(key);
    for (size_t at = 0; at <= all.size();) {
        const size_t comma = std::min(all.find(',', at), all.size());
        if (trimmed(std::string_view(all).substr(at, comma - at)) == item) return true;
        at = comma + 1;
    }
    return false;
}

std::vector<Entry> entries() {
    const std::lock_guard lock(store().mutex);
    std::vector<Entry> out;
    for (size_t i = 0; i < kCount; ++i) out.push_back({kRows[i].name, kRows[i].doc, kRows[i].type, store().texts[i]});
    return out;
}

void set(std::string_view name, std::string_view value) {
    for (size_t i = 0; i < kCount; ++i)
        if (kRows[i].name == name) {
            const std::lock_guard lock(store().mutex);
            store().put(i, value);
            return;
        }
    fail<UserError>("there is no setting '", name, "'; fastkeras.config.settings() lists them");
}

}  // namespace fk::config
