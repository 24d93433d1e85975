// The engine's switches: typed, documented, changed at run time.
#include "graph_support.h"

namespace fk::test {

namespace {
std::string mistake(std::string_view name, std::string_view value) {
    try {
        config::set(name, value);
    } catch (const UserError& e) {
        return e.what();
    }
    FAIL("no error was raised");
    return {};
}
}  // namespace

TEST_CASE("config: every switch is listed with its documentation") {
    const auto all = config::entries();
    CHECK(all.size() >= 8);
    for (const config::Entry& e : all) {
        CAPTURE(std::string(e.name));
        CHECK(e.doc.size() > 10);
        CHECK(e.doc.ends_with("."));
        if (e.type != config::Type::text) CHECK_NOTHROW((void)std::stoll(e.value));
    }
}

TEST_CASE("config: values are set, read and put back") {
    const int64_t before = config::integer(config::Key::cache_size);
    {
        const Setting setting("cache_size", "7");
        CHECK(config::integer(config::Key::cache_size) == 7);
    }
    CHECK(config::integer(config::Key::cache_size) == before);
    const Setting flag("flush_each_op", "true");
    CHECK(config::flag(config::Key::flush_each_op));
    config::set("flush_each_op", "false");
    CHECK(!config::flag(config::Key::flush_each_op));
}

TEST_CASE("config: lists are separated by commas") {
    const Setting setting("disable_passes", "simplify,fuse");
    CHECK(config::lists(config::Key::disable_passes, "fuse"));
    CHECK(config::lists(config::Key::disable_passes, "simplify"));
    CHECK(!config::lists(config::Key::disable_passes, "simp"));
    CHECK(!config::lists(config::Key::disable_passes, "all"));
    config::set("disable_passes", " simplify , fuse");
    CHECK(config::lists(config::Key::disable_passes, "fuse"));
    CHECK(config::lists(config::Key::disable_passes, "simplify"));
}

TEST_CASE("config: mistakes are told and change nothing") {
    CHECK(mistake("cache_sise", "7").find("cache_sise") != std::string::npos);
    const int64_t before = config::integer(config::Key::cache_size);
    for (std::string_view bad : {"", "seven", "-1", "7x", "1e3", "99999999999999999999"}) {
        CAPTURE(std::string(bad));
        const std::string message = mistake("cache_size", bad);
        CHECK(message.find("cache_size") != std::string::npos);
        CHECK(config::integer(config::Key::cache_size) == before);
    }
    CHECK(mistake("verify", "2 ").find("0 or 1") != std::string::npos);
    CHECK(mistake("verify", "2").find("0 or 1") != std::string::npos);
}

}  // namespace fk::test
