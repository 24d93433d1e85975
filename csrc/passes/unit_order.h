// An order of units, each after those it depends on, kept while dependencies are added (the algorithm of Pearce and Kelly,
// "A dynamic topological sort algorithm for directed acyclic graphs", JEA 2006). Fusion asks it whether a group may take in
// one more value without coming to depend on itself: only units between the two positions are looked at.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace fk {

class UnitOrder {
  public:
    // A unit after all others.
    int add(const std::vector<int>& dependencies) {
        const int unit = static_cast<int>(position_.size());
        position_.push_back(unit);
        mark_.push_back(0);
        dependencies_.push_back(dependencies);
        users_.emplace_back();
        for (int d : dependencies) users_[static_cast<size_t>(d)].push_back(unit);
        return unit;
    }

    // Whether one of `units` depends on `target`, directly or through others. `target` itself does not count.
    [[nodiscard]] bool any_depends_on(const std::vector<int>& units, int target) {
        ++epoch_;
        for (int u : units)
            if (u != target && reaches(u, target)) return true;
        return false;
    }

    // Makes `unit` depend on `on`, which must not depend on `unit`.
    void depend(int unit, int on) {
        if (unit == on || std::ranges::find(at(dependencies_, unit), on) != at(dependencies_, unit).end()) return;
        at(dependencies_, unit).push_back(on);
        at(users_, on).push_back(unit);
        if (at(position_, on) < at(position_, unit)) return;
        // What `on` needs goes first, what needs `unit` after it, in the positions that both have now.
        const int low = at(position_, unit), high = at(position_, on);
        std::vector<int> before = reachable(on, dependencies_, [&](int p) { return p >= low; });
        std::vector<int> after = reachable(unit, users_, [&](int p) { return p <= high; });
        before.insert(before.end(), after.begin(), after.end());
        std::vector<int> positions;
        for (int u : before) positions.push_back(at(position_, u));
        std::ranges::sort(positions);
        for (size_t i = 0; i < before.size(); ++i) at(position_, before[i]) = positions[i];
    }

  private:
    template <class T>
    static T& at(std::vector<T>& v, int i) {
        return v[static_cast<size_t>(i)];
    }

    bool reaches(int from, int target) {
        std::vector<int> stack{from};
        while (!stack.empty()) {
            const int u = stack.back();
            stack.pop_back();
            if (u == target) return true;
            if (at(position_, u) < at(position_, target) || std::exchange(at(mark_, u), epoch_) == epoch_) continue;
            stack.insert(stack.end(), at(dependencies_, u).begin(), at(dependencies_, u).end());
        }
        return false;
    }

    // Units reached through `edges` whose position is within bounds, in order of position.
    template <class Within>
    std::vector<int> reachable(int from, std::vector<std::vector<int>>& edges, Within within) {
        ++epoch_;
        std::vector<int> stack{from}, out;
        while (!stack.empty()) {
            const int u = stack.back();
            stack.pop_back();
            if (!within(at(position_, u)) || std::exchange(at(mark_, u), epoch_) == epoch_) continue;
            out.push_back(u);
            stack.insert(stack.end(), at(edges, u).begin(), at(edges, u).end());
        }
        std::ranges::sort(out, {}, [&](int u) { return at(position_, u); });
        return out;
    }

    std::vector<int> position_;
    std::vector<uint32_t> mark_;  // units seen in this search
    uint32_t epoch_ = 0;
    std::vector<std::vector<int>> dependencies_, users_;
};

}  // namespace fk
