// Reading the text form of a graph: a line at a time, one method per piece of the grammar. Start at `parse_graph`.
#include <algorithm>
#include <charconv>
#include <memory>
#include <unordered_map>

#include "core/errors.h"
#include "ir/text.h"
#include "ops/op_def.h"

namespace fk {
namespace {

bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

class LineParser {
  public:
    LineParser(std::string_view line, size_t number) : line_(line), number_(number) {}

    template <class... Parts>
    [[noreturn]] void mistake(const Parts&... parts) const {
        fail<UserError>("graph text, line ", number_, ", column ", at_ + 1, ": ", parts...);
    }

    void skip_spaces() {
        while (at_ < line_.size() && (line_[at_] == ' ' || line_[at_] == '\t')) ++at_;
    }
    [[nodiscard]] bool done() {
        skip_spaces();
        return at_ == line_.size();
    }
    [[nodiscard]] bool accept(std::string_view token) {
        skip_spaces();
        if (line_.substr(at_, token.size()) != token) return false;
        at_ += token.size();
        return true;
    }
    void expect(std::string_view token) {
        if (!accept(token)) mistake("expected '", token, "', got ", rest());
    }
    void expect_end() {
        if (!done()) mistake("expected the end of the line, got ", rest());
    }
    [[nodiscard]] std::string_view word() {
        skip_spaces();
        const size_t begin = at_;
        while (at_ < line_.size() && is_word(line_[at_])) ++at_;
        if (at_ == begin) mistake("expected a name, got ", rest());
        return line_.substr(begin, at_ - begin);
    }
    template <class T>
    [[nodiscard]] T number(std::string_view what) {
        skip_spaces();
        T v{};
        const char* end = line_.data() + line_.size();
        const auto [stop, error] = std::from_chars(line_.data() + at_, end, v);
        if (error == std::errc::result_out_of_range) mistake("this ", what, " is out of range: ", rest());
        if (error != std::errc{}) mistake("expected ", what, ", got ", rest());
        at_ = static_cast<size_t>(stop - line_.data());
        return v;
    }
    [[nodiscard]] std::string quoted() {
        expect("\"");
        std::string text;
        for (; at_ < line_.size() && line_[at_] != '"'; ++at_) unescape(text);
        expect("\"");
        return text;
    }
    // Everything to the end of the line, taken literally but for escapes.
    [[nodiscard]] std::string label() {
        if (at_ < line_.size() && line_[at_] == ' ') ++at_;
        std::string text;
        for (; at_ < line_.size(); ++at_) unescape(text);
        return text;
    }
    [[nodiscard]] std::string rest() {
        skip_spaces();
        return at_ == line_.size() ? "the end of the line" : concat("'", line_.substr(at_, 40), "'");
    }

  private:
    void unescape(std::string& text) {
        char c = line_[at_];
        if (c == '\\' && at_ + 1 < line_.size()) {
            c = line_[++at_];
            if (c == 'n') c = '\n';
        }
        text += c;
    }

    std::string_view line_;
    size_t number_;
    size_t at_ = 0;
};

class Parser {
  public:
    void line(std::string_view text, size_t number) {
        LineParser p(text, number);
        if (p.done() || p.accept("//")) return;
        if (inner_) {  // inside `body @n { ... }`, which may hold bodies itself
            if (!inner_->inner_ && p.accept("}")) {
                p.expect_end();
                bodies_[inner_name_] = std::make_shared<const Graph>(inner_->finish());
                inner_.reset();
            } else {
                inner_->line(text, number);
            }
            return;
        }
        if (p.accept("body")) {
            if (returned_) p.mistake("nothing may follow `return`, got a body");
            p.expect("@");
            inner_name_ = p.number<uint32_t>("the number of a body");
            p.expect("{");
            p.expect_end();
            if (bodies_.contains(inner_name_)) p.mistake("body @", inner_name_, " is declared twice");
            inner_ = std::make_unique<Parser>();
            return;
        }
        if (returned_) p.mistake("nothing may follow `return`, got ", p.rest());
        if (p.accept("return")) {
            returns(p);
            returned_ = true;
        } else {
            node(p);
        }
    }

    Graph finish() {
        if (inner_) fail<UserError>("graph text: body @", inner_name_, " is not closed; expected a line with '}'");
        return std::move(g_);
    }

  private:
    Value value(LineParser& p) {
        p.expect("%");
        const auto number = p.number<uint32_t>("the number of a value");
        const auto it = nodes_.find(number);
        if (it == nodes_.end()) p.mistake("%", number, " is not declared on an earlier line");
        Value v{it->second, 0};
        if (p.accept(".")) v.out = p.number<uint32_t>("the number of an output");
        if (v.out >= g_.node(v.node).types.size())
            p.mistake("%", number, " has ", g_.node(v.node).types.size(), " outputs; there is no .", v.out);
        return v;
    }

    DType dtype(LineParser& p) {
        const std::string_view word = p.word();
        const auto t = dtype_from_name(word);
        if (!t) p.mistake("there is no dtype '", word, "'");
        return *t;
    }

    Dims dims(LineParser& p) {
        Dims out;
        p.expect("[");
        if (p.accept("]")) return out;
        do out.push_back(p.number<int64_t>("an integer"));
        while (p.accept(","));
        p.expect("]");
        return out;
    }

    TensorType type(LineParser& p) {
        TensorType t;
        t.dtype = dtype(p);
        t.dims = dims(p);
        int64_t bytes = static_cast<int64_t>(size_of(t.dtype));
        for (int64_t d : t.dims)
            if (d < 0 || __builtin_mul_overflow(bytes, std::max<int64_t>(d, 1), &bytes))
                p.mistake("the shape ", to_string(t.dims), " is impossible: dimensions are >= 0 and fit in memory");
        return t;
    }

    Bodies named_bodies(LineParser& p) {
        Bodies out;
        p.expect("[");
        do {
            p.expect("@");
            const auto number = p.number<uint32_t>("the number of a body");
            const auto it = bodies_.find(number);
            if (it == bodies_.end()) p.mistake("body @", number, " is not declared on an earlier line");
            out.push_back(it->second);
        } while (p.accept(","));
        p.expect("]");
        return out;
    }

    Attr attr(LineParser& p, const AttrDef& def) {
        switch (def.type) {
            case AttrType::integer:
                return p.number<int64_t>("an integer");
            case AttrType::floating:
                return p.number<double>("a number");
            case AttrType::text:
                return p.quoted();
            case AttrType::dims:
                return dims(p);
            case AttrType::dtype:
                return static_cast<int64_t>(dtype(p));
            case AttrType::bodies:
                return named_bodies(p);
            case AttrType::boolean:
                break;
        }
        if (p.accept("true")) return int64_t{1};
        if (!p.accept("false")) p.mistake("expected true or false, got ", p.rest());
        return int64_t{0};
    }

    Attrs attrs(LineParser& p, const OpDef& op) {
        std::vector<std::optional<Attr>> given(op.attrs.size());
        if (p.accept("{") && !p.accept("}")) {
            do {
                const std::string_view name = p.word();
                const int i = op.attr_index(name);
                if (i < 0) p.mistake(op.name, " has no attribute '", name, "'");
                auto& slot = given[static_cast<size_t>(i)];
                if (slot) p.mistake("attribute ", name, " is given twice");
                p.expect("=");
                slot = attr(p, op.attrs[static_cast<size_t>(i)]);
            } while (p.accept(","));
            p.expect("}");
        }
        Attrs out;
        for (size_t i = 0; i < given.size(); ++i) {
            const AttrDef& def = op.attrs[i];
            if (!given[i] && !def.fallback) p.mistake(op.name, " needs attribute ", def.name);
            out.push_back(given[i] ? *given[i] : *def.fallback);
        }
        return out;
    }

    // Recording brings elementwise operands to one shape and type first; in the text that is already done.
    void check_operands(LineParser& p, const OpDef& op, const std::vector<Value>& inputs) {
        const size_t first = op.promotion == Promotion::select ? 1 : 0;
        for (size_t i = 0; i < inputs.size(); ++i) {
            const TensorType &t = g_.type(inputs[i]), &expected = g_.type(inputs[first]);
            if (t.dims != expected.dims || (i >= first && t.dtype != expected.dtype))
                p.mistake(op.name, " got ", to_string(t), " against ", to_string(expected),
                          "; operands are broadcast and cast by nodes of their own");
        }
    }

    void node(LineParser& p) {
        p.expect("%");
        const auto number = p.number<uint32_t>("the number of a node");
        if (nodes_.contains(number)) p.mistake("%", number, " is declared twice");
        p.expect("=");
        const std::string_view op_name = p.word();
        const OpDef* op = find_op(op_name);
        if (op == nullptr) p.mistake("there is no op '", op_name, "'");
        if (op->name == "fused") p.mistake("a fused node cannot be read back; print the graph before the fuse pass");
        const bool parameter = op->name == "parameter";

        std::vector<Value> inputs;
        p.expect("(");
        if (!p.accept(")")) {
            do inputs.push_back(value(p));
            while (p.accept(","));
            p.expect(")");
        }
        if (op->variadic ? inputs.size() < op->inputs.size() : inputs.size() != op->inputs.size())
            p.mistake(op->name, " takes ", op->variadic ? "at least " : "", op->inputs.size(), " inputs, got ", inputs.size());
        Attrs given = parameter ? Attrs{} : attrs(p, *op);

        std::vector<TensorType> types;
        if (p.accept(":")) {
            do types.push_back(type(p));
            while (p.accept(","));
        } else if (parameter) {
            p.mistake("a parameter needs its type, as in `%", number, " = parameter() : float32[2,3]`");
        }
        if (parameter && types.size() != 1) p.mistake("a parameter has one type, got ", types.size());
        g_.current_label = p.accept("#") ? g_.intern_label(p.label()) : 0;
        p.expect_end();

        if (op->promotion != Promotion::none && op->promotion != Promotion::shape_only) check_operands(p, *op, inputs);
        uint32_t index = 0;
        try {
            index = parameter ? g_.add_parameter(types[0]).node : g_.add(*op, std::move(inputs), std::move(given));
        } catch (const UserError& e) {
            p.mistake(e.what());
        }
        g_.current_label = 0;
        if (const auto& inferred = g_.node(index).types; !types.empty() && types != inferred)
            for (size_t i = 0; i < std::max(types.size(), inferred.size()); ++i)
                if (i >= types.size() || i >= inferred.size() || types[i] != inferred[i])
                    p.mistake("output ", i, " of ", op->name, " is ", i < inferred.size() ? to_string(inferred[i]) : "nothing",
                              "; the text says ", i < types.size() ? to_string(types[i]) : "nothing");
        nodes_.emplace(number, index);
    }

    void returns(LineParser& p) {
        std::vector<int32_t> aliases;
        if (!p.done()) {
            do {
                const Value v = value(p);
                g_.outputs.push_back(v);
                aliases.push_back(-1);
                if (!p.accept("->")) continue;
                const Value target = value(p);
                const auto it = std::ranges::find(g_.parameters(), target);
                if (it == g_.parameters().end()) p.mistake("an output can only overwrite a parameter");
                if (g_.type(v) != g_.type(target))
                    p.mistake("the output is ", to_string(g_.type(v)), ", the parameter it overwrites ",
                              to_string(g_.type(target)));
                aliases.back() = static_cast<int32_t>(it - g_.parameters().begin());
                if (std::ranges::count(aliases, aliases.back()) > 1) p.mistake("two outputs overwrite one parameter");
            } while (p.accept(","));
        }
        p.expect_end();
        if (std::ranges::any_of(aliases, [](int32_t a) { return a >= 0; })) g_.output_aliases = std::move(aliases);
    }

    Graph g_;
    std::unordered_map<uint32_t, uint32_t> nodes_;  // number in the text -> node
    bool returned_ = false;
    std::unordered_map<uint32_t, std::shared_ptr<const Graph>> bodies_;
    std::unique_ptr<Parser> inner_;  // of the body that is being read
    uint32_t inner_name_ = 0;
};

}  // namespace

Graph parse_graph(std::string_view text) {
    Parser parser;
    size_t number = 1;
    for (size_t at = 0; at < text.size(); ++number) {
        const size_t end = std::min(text.find('\n', at), text.size());
        std::string_view line = text.substr(at, end - at);
        if (line.ends_with('\r')) line.remove_suffix(1);
        parser.line(line, number);
        at = end + 1;
    }
    return parser.finish();
}

}  // namespace fk
