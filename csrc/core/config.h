// The engine's switches, declared in config.def: typed, documented, listed by fastkeras.config.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fk::config {

enum class Key : uint8_t {
#define FK_CONFIG(name, ...) name,
#include "core/config.def"
#undef FK_CONFIG
};
enum class Type : uint8_t { boolean, integer, text };

struct Entry {
    std::string_view name, doc;
    Type type;
    std::string value;  // as text
};

[[nodiscard]] int64_t integer(Key key);  // of a text: whether there is any
[[nodiscard]] inline bool flag(Key key) { return integer(key) != 0; }
[[nodiscard]] std::string text(Key key);
[[nodiscard]] bool lists(Key key, std::string_view item);  // whether a comma-separated text contains the item
[[nodiscard]] std::vector<Entry> entries();
void set(std::string_view name, std::string_view value);  // UserError for an unknown name or a malformed value

}  // namespace fk::config
