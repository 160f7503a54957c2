// Memory plans run symbolically: every word of memory holds the name of what was written there.
#pragma once

#include "src/graph/plan.h"

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ganforge::plan_test {

using Origin = PlanProblem::Origin;
using Memory = Place::Memory;

inline constexpr std::size_t word = 4;

/// What a word of memory holds: word `at` of `value`. Negative values are garbage, zero and what variables held at
/// first.
struct Tag {
  int value = -1;
  int at = 0;
  friend bool operator==(const Tag&, const Tag&) = default;
};
inline constexpr Tag garbage{-1, 0}, zero{-2, 0};
using Content = std::vector<Tag>;

/// What every value should be, memory aside.
inline std::vector<Content> contents(const PlanProblem& problem) {
  std::vector<Content> result;
  for (std::size_t v = 0; v < problem.values.size(); ++v) {
    const PlanProblem::Value& value = problem.values[v];
    const int name = value.origin == Origin::variable ? -10 - value.variable : static_cast<int>(v);
    Content& content = result.emplace_back(value.bytes / word);
    for (std::size_t i = 0; i < content.size(); ++i) content[i] = {name, static_cast<int>(i)};
  }
  const auto lay = [&](Content& to, std::size_t offset, const Content& from) {
    std::ranges::copy(from, to.begin() + static_cast<std::ptrdiff_t>(offset / word));
  };
  // Views and concatenations may build on each other in any order: until nothing changes.
  for (bool changed = true; changed;) {
    const std::vector<Content> before = result;
    for (const PlanProblem::View& view : problem.views) {
      const Content& base = result[static_cast<std::size_t>(view.base)];
      Content& content = result[static_cast<std::size_t>(view.value)];
      for (std::size_t i = 0; i < content.size(); ++i) content[i] = base[view.offset / word + i];
    }
    for (const PlanProblem::Step& step : problem.steps) {
      if (step.pieces.empty()) continue;
      Content& content = result[static_cast<std::size_t>(step.writes[0])];
      std::ranges::fill(content, zero);
      for (std::size_t i = 0; i < step.reads.size(); ++i)
        lay(content, step.pieces[i], result[static_cast<std::size_t>(step.reads[i])]);
    }
    changed = before != result;
  }
  return result;
}

/// Runs a plan on memory that holds tags. error() is empty if every reader finds what it should.
class Machine {
 public:
  Machine(const PlanProblem& problem, const Plan& plan) : problem_(problem), plan_(plan), contents_(contents(problem)) {
    arena_.assign(plan.arena_bytes / word, garbage);
    for (std::size_t bytes : plan.own_bytes) own_.emplace_back(bytes / word, zero);
    for (std::size_t bytes : problem.variable_bytes) variables_.emplace_back(bytes / word);
  }

  /// Twice: what the first run leaves behind must not disturb the second.
  std::string error() {
    for (int run = 0; run < 2 && error_.empty(); ++run) {
      start();
      std::size_t next = 0;
      for (std::size_t s = 0; s <= problem_.steps.size() && error_.empty(); ++s) {
        for (; next < plan_.copies.size() && plan_.copies[next].step == static_cast<int>(s); ++next)
          copy(plan_.copies[next]);
        if (s < problem_.steps.size()) step(s);
      }
      if (next != plan_.copies.size()) fail("copies are not in order of step");
      finish();
    }
    return error_;
  }

 private:
  struct Range {
    Memory memory;
    int index;
    std::size_t begin, end;  // words
    bool overlaps(const Range& o) const {
      return memory == o.memory && index == o.index && begin < o.end && o.begin < end;
    }
    friend bool operator==(const Range&, const Range&) = default;
  };

  void fail(const std::string& what) {
    if (error_.empty()) error_ = what;
  }
  Content& memory(const Range& range) {
    const auto i = static_cast<std::size_t>(range.index);
    return range.memory == Memory::arena ? arena_ : range.memory == Memory::own ? own_.at(i) : variables_.at(i);
  }
  Range range(const Place& place, std::size_t bytes) {
    Range r{place.memory, place.index, place.offset / word, (place.offset + bytes) / word};
    if (place.offset % memory_alignment != 0) fail("a place is not aligned");
    if (r.begin != r.end && r.end > memory(r).size()) fail("a place is outside its memory");
    return r;
  }
  Range range(int value) {
    return range(plan_.places[static_cast<std::size_t>(value)], problem_.values[static_cast<std::size_t>(value)].bytes);
  }
  bool holds(const Range& r, int value) {
    return error_.empty() && std::ranges::equal(std::span(memory(r)).subspan(r.begin, r.end - r.begin),
                                                contents_[static_cast<std::size_t>(value)]);
  }
  void write(const Range& r, const Content& content) {
    if (error_.empty()) std::ranges::copy(content, memory(r).begin() + static_cast<std::ptrdiff_t>(r.begin));
  }

  void start() {
    for (std::size_t v = 0; v < variables_.size(); ++v)
      for (std::size_t i = 0; i < variables_[v].size(); ++i)
        variables_[v][i] = {-10 - static_cast<int>(v), static_cast<int>(i)};
    for (std::size_t v = 0; v < problem_.values.size(); ++v)
      if (problem_.values[v].origin == Origin::own) write(range(static_cast<int>(v)), contents_[v]);
  }

  void copy(const Plan::Copy& copy) {
    const std::size_t bytes = problem_.values[static_cast<std::size_t>(copy.value)].bytes;
    // Pieces may lie anywhere in a concatenation: only values start on 64 bytes.
    const Range from = range(copy.value),
                to{copy.to.memory, copy.to.index, copy.to.offset / word, (copy.to.offset + bytes) / word};
    const std::string name =
        "the copy of value " + std::to_string(copy.value) + " before step " + std::to_string(copy.step);
    if (to.end > memory(to).size()) return fail(name + " leaves its memory");
    if (from.overlaps(to)) return fail(name + " overlaps itself");
    if (!holds(from, copy.value)) return fail(name + " copies something else");
    write(to, contents_[static_cast<std::size_t>(copy.value)]);
  }

  void step(std::size_t s) {
    const PlanProblem::Step& step = problem_.steps[s];
    const std::string name = "step " + std::to_string(s) + ": ";
    if (!step.pieces.empty()) {
      if (!holds(range(step.writes[0]), step.writes[0])) fail(name + "the concatenation is incomplete");
      return;
    }
    std::optional<Range> workspace;
    if (step.workspace) workspace = range({Memory::arena, 0, plan_.workspaces[s]}, step.workspace);
    for (int value : step.reads) {
      if (!holds(range(value), value)) return fail(name + "value " + std::to_string(value) + " is not there to read");
      if (workspace && workspace->overlaps(range(value))) return fail(name + "the workspace lies on an input");
    }
    for (std::size_t i = 0; i < step.writes.size(); ++i) {
      const Range out = range(step.writes[i]);
      for (std::size_t j = 0; j < i; ++j)
        if (out.overlaps(range(step.writes[j]))) return fail(name + "two outputs overlap");
      if (workspace && workspace->overlaps(out)) return fail(name + "the workspace lies on an output");
      const auto in_the_way = std::ranges::count_if(step.reads, [&](int value) { return out.overlaps(range(value)); });
      const bool in_place = std::ranges::any_of(step.in_place, [&](const PlanProblem::InPlace& pair) {
        return pair.output == step.writes[i] && out == range(pair.input);
      });
      if (in_the_way > (in_place ? 1 : 0)) return fail(name + "an output lies on an input");
    }
    if (workspace) write(*workspace, Content(workspace->end - workspace->begin, garbage));
    for (int value : step.writes) write(range(value), contents_[static_cast<std::size_t>(value)]);
  }

  void finish() {
    std::vector<Content> want;
    for (std::size_t v = 0; v < variables_.size(); ++v) {
      want.emplace_back(variables_[v].size());
      for (std::size_t i = 0; i < want[v].size(); ++i) want[v][i] = {-10 - static_cast<int>(v), static_cast<int>(i)};
    }
    for (const auto& [variable, value] : problem_.assigns)
      want[static_cast<std::size_t>(variable)] = contents_[static_cast<std::size_t>(value)];
    for (std::size_t v = 0; v < variables_.size(); ++v)
      if (variables_[v] != want[v]) fail("variable " + std::to_string(v) + " ends with a wrong value");
    for (int value : problem_.outputs)
      if (!holds(range(value), value)) fail("output " + std::to_string(value) + " is lost");
    for (std::size_t v = 0; v < problem_.values.size(); ++v)
      if (problem_.values[v].origin == Origin::own && !holds(range(static_cast<int>(v)), static_cast<int>(v)))
        fail("value " + std::to_string(v) + " of its own memory is lost");
  }

  const PlanProblem& problem_;
  const Plan& plan_;
  std::vector<Content> contents_;
  Content arena_;
  std::vector<Content> own_, variables_;
  std::string error_;
};

/// Writes a problem line by line.
class Builder {
 public:
  int variable(std::size_t bytes) {
    problem.variable_bytes.push_back(bytes);
    return static_cast<int>(problem.variable_bytes.size()) - 1;
  }
  int stored(int variable) {
    return value({problem.variable_bytes[static_cast<std::size_t>(variable)], Origin::variable, variable});
  }
  int own(std::size_t bytes) { return value({bytes, Origin::own, -1}); }
  int step(std::vector<int> reads, std::size_t bytes) {
    const int output = value({bytes, Origin::computed, -1});
    problem.steps.push_back({std::move(reads), {output}, {}, 0, {}, false});
    return output;
  }
  int in_place(int input, std::vector<int> others = {}) {
    others.insert(others.begin(), input);
    const int output = step(std::move(others), bytes(input));
    problem.steps.back().in_place = {{output, input}};
    return output;
  }
  int view(int base, std::size_t offset, std::size_t bytes) {
    const int output = value({bytes, Origin::computed, -1});
    problem.views.push_back({output, base, offset});
    return output;
  }
  int concat(std::vector<int> pieces, std::size_t align = 1) {
    std::vector<std::size_t> offsets;
    std::size_t end = 0;
    for (int piece : pieces) {
      offsets.push_back(end);
      end += (bytes(piece) + align - 1) / align * align;
    }
    const int output = step(std::move(pieces), end);
    problem.steps.back().pieces = offsets;
    problem.steps.back().gaps = align > 1;
    return output;
  }
  void assign(int variable, int value) { problem.assigns.emplace_back(variable, value); }
  void output(int value) { problem.outputs.push_back(value); }
  std::size_t bytes(int value) const { return problem.values[static_cast<std::size_t>(value)].bytes; }

  PlanProblem problem;

 private:
  int value(PlanProblem::Value v) {
    problem.values.push_back(v);
    return static_cast<int>(problem.values.size()) - 1;
  }
};

}  // namespace ganforge::plan_test
