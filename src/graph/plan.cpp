#include "src/graph/plan.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace ganforge {
namespace {

/// A contiguous piece of memory that one or more values lie in.
struct Root {
  std::size_t bytes = 0;
  bool fresh = true;  // made by this program in memory not yet chosen; else a variable's or own
  bool gaps = false;
  bool pinned = false;  // must survive the last step
  Place place;
  int first_write = std::numeric_limits<int>::max();
  int last_use = -1;
};

class Planner {
 public:
  Planner(const PlanProblem& problem, bool share)
      : problem_(problem), share_(share), last_step_(static_cast<int>(problem.steps.size())) {}

  Plan run() {
    make_roots();
    lay_views_and_pieces();
    find_uses();
    if (share_) {
      work_in_place();
      make_in_variables();
    }
    copy_to_variables();
    place_roots();
    return std::move(plan_);
  }

 private:
  struct Where {
    int root;
    std::size_t offset;
  };

  Root& root(int value) { return roots_[static_cast<std::size_t>(where_[static_cast<std::size_t>(value)].root)]; }
  int root_index(int value) const { return where_[static_cast<std::size_t>(value)].root; }
  std::size_t bytes(int value) const { return problem_.values[static_cast<std::size_t>(value)].bytes; }
  /// The value is all of its root.
  bool whole(int value) {
    return where_[static_cast<std::size_t>(value)].offset == 0 && root(value).bytes == bytes(value);
  }

  /// Everything in root `from` moves to root `to` at `offset`.
  void merge(int from, int to, std::size_t offset) {
    for (Where& where : where_) {
      if (where.root != from) continue;
      where.root = to;
      where.offset += offset;
    }
    Root& a = roots_[static_cast<std::size_t>(to)];
    const Root& b = roots_[static_cast<std::size_t>(from)];
    a.pinned |= b.pinned;
    a.first_write = std::min(a.first_write, b.first_write);
    a.last_use = std::max(a.last_use, b.last_use);
  }

  void make_roots() {
    std::vector<int> variable_root(problem_.variable_bytes.size());
    for (std::size_t v = 0; v < variable_root.size(); ++v) {
      variable_root[v] = static_cast<int>(roots_.size());
      Root root;
      root.bytes = problem_.variable_bytes[v];
      root.fresh = false;
      root.place = {Place::Memory::variable, static_cast<int>(v), 0};
      roots_.push_back(root);
    }
    variable_root_ = variable_root;
    for (const PlanProblem::Value& value : problem_.values) {
      if (value.origin == PlanProblem::Origin::variable) {
        where_.push_back({variable_root[static_cast<std::size_t>(value.variable)], 0});
        continue;
      }
      Root root;
      root.bytes = value.bytes;
      if (value.origin == PlanProblem::Origin::own) {
        root.fresh = false;
        root.place = own(value.bytes);
      }
      where_.push_back({static_cast<int>(roots_.size()), 0});
      roots_.push_back(root);
    }
  }

  Place own(std::size_t bytes) {
    plan_.own_bytes.push_back(bytes);
    return {Place::Memory::own, static_cast<int>(plan_.own_bytes.size()) - 1, 0};
  }

  void lay_views_and_pieces() {
    for (const PlanProblem::View& view : problem_.views) {
      const Where base = where_[static_cast<std::size_t>(view.base)];
      where_[static_cast<std::size_t>(view.value)] = {base.root, base.offset + view.offset};
    }
    for (int s = 0; s < last_step_; ++s) {
      const PlanProblem::Step& step = problem_.steps[static_cast<std::size_t>(s)];
      if (step.pieces.empty()) continue;
      const int target = step.writes[0];
      for (std::size_t i = 0; i < step.reads.size(); ++i) {
        const int piece = step.reads[i];
        const bool fits = share_ && root(piece).fresh && !root(piece).gaps && whole(piece) &&
                          root_index(piece) != root_index(target) && step.pieces[i] % memory_alignment == 0;
        // Laid pieces share the target's root, so the same value cannot be laid twice, nor into two concatenations.
        if (fits)
          merge(root_index(piece), root_index(target),
                where_[static_cast<std::size_t>(target)].offset + step.pieces[i]);
        else
          copies_.push_back({s, piece, target, step.pieces[i]});
      }
      root(target).gaps |= step.gaps;
    }
  }

  void find_uses() {
    for (int s = 0; s < last_step_; ++s) {
      const PlanProblem::Step& step = problem_.steps[static_cast<std::size_t>(s)];
      for (int value : step.reads) root(value).last_use = std::max(root(value).last_use, s);
      for (int value : step.writes) {
        root(value).first_write = std::min(root(value).first_write, s);
        root(value).last_use = std::max(root(value).last_use, s);
      }
    }
    for (int value : problem_.outputs) root(value).pinned = true;
  }

  int assigned_variable(int root_number) const {
    for (const auto& [variable, value] : problem_.assigns)
      if (root_index(value) == root_number) return variable;
    return -1;
  }
  bool program_assigns(int variable) const {
    return std::ranges::any_of(problem_.assigns, [&](const auto& assign) { return assign.first == variable; });
  }

  void work_in_place() {
    for (int s = 0; s < last_step_; ++s) {
      const PlanProblem::Step& step = problem_.steps[static_cast<std::size_t>(s)];
      for (const PlanProblem::InPlace& pair : step.in_place) {
        const int from = root_index(pair.output), to = root_index(pair.input);
        const Root& output = roots_[static_cast<std::size_t>(from)];
        const Root& input = roots_[static_cast<std::size_t>(to)];
        if (from == to || !output.fresh || output.gaps || output.first_write != s || !whole(pair.output)) continue;
        if (!whole(pair.input) || input.bytes != output.bytes || input.pinned || input.last_use > s) continue;
        if (input.place.memory == Place::Memory::own || input.gaps) continue;
        // Nothing else of the step may lie in that memory, and the input's final value may not be lost.
        const auto uses = std::ranges::count_if(step.reads, [&](int v) { return root_index(v) == to; }) +
                          std::ranges::count_if(step.writes, [&](int v) { return root_index(v) == to; });
        if (uses != 1) continue;
        const int kept_for = assigned_variable(to), goes_to = assigned_variable(from);
        if (kept_for >= 0) continue;
        if (!input.fresh) {
          const int variable = input.place.index;
          if (!program_assigns(variable) || output.pinned || (goes_to >= 0 && goes_to != variable)) continue;
        }
        merge(from, to, 0);
      }
    }
  }

  void make_in_variables() {
    for (const auto& [variable, value] : problem_.assigns) {
      const int stored = variable_root_[static_cast<std::size_t>(variable)];
      if (root_index(value) == stored) continue;
      const Root& made = root(value);
      const Root& old = roots_[static_cast<std::size_t>(stored)];
      const bool one_variable = std::ranges::count_if(problem_.assigns, [&](const auto& other) {
                                  return root_index(other.second) == root_index(value);
                                }) == 1;
      if (made.fresh && !made.gaps && whole(value) && made.bytes == old.bytes && one_variable &&
          old.last_use < made.first_write && !old.pinned)
        merge(root_index(value), stored, 0);
    }
  }

  void copy_to_variables() {
    for (const auto& [variable, value] : problem_.assigns) {
      const Where where = where_[static_cast<std::size_t>(value)];
      if (where.root == variable_root_[static_cast<std::size_t>(variable)] && where.offset == 0) continue;
      root(value).pinned = true;
      end_copies_.push_back({last_step_, value, {Place::Memory::variable, variable, 0}});
    }
  }

  void place_roots() {
    struct Block {
      std::size_t bytes;
      int first, last;
      int root;  // −1: the workspace of step `first`
      std::size_t at = 0;
    };
    std::vector<Block> blocks;
    std::vector<char> used(roots_.size(), 0);
    for (const Where& where : where_) used[static_cast<std::size_t>(where.root)] = 1;
    for (std::size_t r = 0; r < roots_.size(); ++r) {
      Root& root = roots_[r];
      if (!root.fresh || !used[r]) continue;
      if (root.gaps) {
        root.place = own(root.bytes);
        continue;
      }
      if (root.last_use < 0 && !root.pinned) continue;  // never touched
      const bool forever = !share_ || root.pinned;
      blocks.push_back({align_up(root.bytes), share_ ? std::min(root.first_write, last_step_) : 0,
                        forever ? last_step_ : root.last_use, static_cast<int>(r)});
    }
    for (int s = 0; s < last_step_; ++s)
      if (const std::size_t workspace = problem_.steps[static_cast<std::size_t>(s)].workspace)
        blocks.push_back({align_up(workspace), share_ ? s : 0, share_ ? s : last_step_, -1 - s});

    std::vector<std::size_t> live(static_cast<std::size_t>(last_step_) + 1, 0);
    for (const Block& block : blocks)
      for (int s = block.first; s <= block.last; ++s) live[static_cast<std::size_t>(s)] += block.bytes;
    plan_.peak_live_bytes = *std::ranges::max_element(live);

    std::ranges::stable_sort(blocks, [](const Block& a, const Block& b) { return a.bytes > b.bytes; });
    std::vector<const Block*> neighbours;
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      Block& block = blocks[i];
      neighbours.clear();
      for (std::size_t j = 0; j < i; ++j)
        if (blocks[j].first <= block.last && block.first <= blocks[j].last) neighbours.push_back(&blocks[j]);
      std::ranges::sort(neighbours, {}, &Block::at);
      for (const Block* other : neighbours) {
        if (block.at + block.bytes <= other->at) break;
        block.at = std::max(block.at, other->at + other->bytes);
      }
      plan_.arena_bytes = std::max(plan_.arena_bytes, block.at + block.bytes);
    }

    plan_.workspaces.assign(problem_.steps.size(), 0);
    for (const Block& block : blocks) {
      if (block.root >= 0)
        roots_[static_cast<std::size_t>(block.root)].place = {Place::Memory::arena, 0, block.at};
      else
        plan_.workspaces[static_cast<std::size_t>(-1 - block.root)] = block.at;
    }
    for (const Where& where : where_) {
      Place place = roots_[static_cast<std::size_t>(where.root)].place;
      place.offset += where.offset;
      plan_.places.push_back(place);
    }
    for (const PieceCopy& copy : copies_) {
      Place to = plan_.places[static_cast<std::size_t>(copy.target)];
      to.offset += copy.offset;
      plan_.copies.push_back({copy.step, copy.piece, to});
    }
    plan_.copies.insert(plan_.copies.end(), end_copies_.begin(), end_copies_.end());
  }

  struct PieceCopy {
    int step, piece, target;
    std::size_t offset;
  };

  const PlanProblem& problem_;
  const bool share_;
  const int last_step_;
  std::vector<Root> roots_;
  std::vector<Where> where_;        // per value
  std::vector<int> variable_root_;  // per variable
  std::vector<PieceCopy> copies_;
  std::vector<Plan::Copy> end_copies_;
  Plan plan_;
};

}  // namespace

Plan make_plan(const PlanProblem& problem, bool share) {
  return Planner(problem, share).run();
}

}  // namespace ganforge
