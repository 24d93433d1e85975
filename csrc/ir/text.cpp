// Printing a graph; parse.cpp reads it back.
#include "ir/text.h"

#include <bit>
#include <charconv>

#include "codegen/region.h"
#include "core/errors.h"
#include "ops/op_def.h"

namespace fk {
namespace {

class Printer {
  public:
    explicit Printer(const Graph& g) : g_(g) {}

    std::string print() {
        for (uint32_t i = 0; i < g_.size(); ++i) node(i);
        returns();
        return std::move(out_);
    }

  private:
    void number(int64_t v) {
        char text[24];
        const auto end = std::to_chars(text, text + sizeof text, v).ptr;
        out_.append(text, end);
    }

    void value(Value v) {
        out_ += '%';
        number(v.node);
        if (v.out != 0) {
            out_ += '.';
            number(v.out);
        }
    }

    // The shortest decimal that reads back as the same double.
    void real(double v) {
        char text[40];
        out_.append(text, std::to_chars(text, text + sizeof text, v).ptr);
    }

    void quoted(const std::string& s, bool quotes) {
        if (quotes) out_ += '"';
        for (char c : s) {
            if (c == '\n') {
                out_ += "\\n";
            } else {
                if (c == '\\' || (quotes && c == '"')) out_ += '\\';
                out_ += c;
            }
        }
        if (quotes) out_ += '"';
    }

    // The bodies of a control-flow node, each named before the node that refers to it.
    void print_bodies(const Node& n) {
        first_body_ = body_count_;
        for (const auto& body : n.bodies()) {
            out_ += "body @";
            number(body_count_++);
            out_ += " {\n";
            const std::string text = Printer(*body).print();
            for (size_t at = 0; at < text.size();) {
                const size_t end = text.find('\n', at);
                out_ += "    ";
                out_.append(text, at, end + 1 - at);
                at = end + 1;
            }
            out_ += "}\n";
        }
    }

    void attr(const Attr& a, AttrType type) {
        if (const auto* bodies = std::get_if<Bodies>(&a)) {
            for (size_t i = 0; i < bodies->size(); ++i) {
                out_ += i == 0 ? "[@" : ", @";
                number(first_body_ + static_cast<int64_t>(i));
            }
            out_ += ']';
        } else if (const auto* real_value = std::get_if<double>(&a)) {
            real(*real_value);
        } else if (const auto* text = std::get_if<std::string>(&a)) {
            quoted(*text, true);
        } else if (const auto* dims = std::get_if<Dims>(&a)) {
            out_ += '[';
            for (size_t i = 0; i < dims->size(); ++i) {
                if (i != 0) out_ += ", ";
                number((*dims)[i]);
            }
            out_ += ']';
        } else {
            const int64_t v = std::get<int64_t>(a);
            if (type == AttrType::boolean)
                out_ += v != 0 ? "true" : "false";
            else if (type == AttrType::dtype)
                out_ += name(static_cast<DType>(v));
            else
                number(v);
        }
    }

    // -0.0 and 0.0 are different constants.
    static bool is_default(const Attr& a, const AttrDef& def) {
        if (!def.fallback || a.index() != def.fallback->index()) return false;
        if (const auto* v = std::get_if<double>(&a))
            return std::bit_cast<uint64_t>(*v) == std::bit_cast<uint64_t>(std::get<double>(*def.fallback));
        return a == *def.fallback;
    }

    void attrs(const Node& n) {
        const char* separator = " {";
        for (size_t i = 0; i < n.attrs.size() && i < n.op->attrs.size(); ++i) {
            const AttrDef& def = n.op->attrs[i];
            if (is_default(n.attrs[i], def)) continue;
            out_ += separator;
            out_ += def.name;
            out_ += " = ";
            attr(n.attrs[i], def.type);
            separator = ", ";
        }
        if (*separator == ',') out_ += '}';
    }

    void node(uint32_t index) {
        const Node& n = g_.node(index);
        print_bodies(n);
        value({index, 0});
        out_ += " = ";
        out_ += n.op->name;
        out_ += '(';
        for (size_t i = 0; i < n.inputs.size(); ++i) {
            if (i != 0) out_ += ", ";
            value(n.inputs[i]);
        }
        out_ += ')';
        // A parameter's only attribute is its place among the parameters, which the order of the lines says.
        if (!n.is("parameter")) attrs(n);
        out_ += " : ";
        for (size_t i = 0; i < n.types.size(); ++i) {
            if (i != 0) out_ += ", ";
            out_ += to_string(n.types[i]);
        }
        if (const std::string& label = g_.label(n.label); !label.empty()) {
            out_ += "  # ";
            quoted(label, false);
        }
        out_ += '\n';
        if (n.region) region(*n.region);
    }

    void region(const Region& r) {
        const std::string text = to_string(r);
        for (size_t at = 0; at < text.size();) {
            const size_t end = std::min(text.find('\n', at), text.size());
            out_ += "    ";
            out_.append(text, at, end - at);
            out_ += '\n';
            at = end + 1;
        }
    }

    void returns() {
        for (size_t i = 0; i < g_.outputs.size(); ++i) {
            out_ += i == 0 ? "return " : ", ";
            value(g_.outputs[i]);
            if (i < g_.output_aliases.size() && g_.output_aliases[i] >= 0) {
                out_ += " -> ";
                value(g_.parameters()[static_cast<size_t>(g_.output_aliases[i])]);
            }
        }
        if (!g_.outputs.empty()) out_ += '\n';
    }

    const Graph& g_;
    std::string out_;
    int64_t body_count_ = 0, first_body_ = 0;
};

}  // namespace

std::string to_text(const Graph& g) { return Printer(g).print(); }

}  // namespace fk
