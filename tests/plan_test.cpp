// The memory plan, run symbolically: every word of memory holds the name of what was written there.
#include "src/graph/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace ganforge {
namespace {

using Origin = PlanProblem::Origin;
using Memory = Place::Memory;

constexpr std::size_t word = 4;

/// What a word of memory holds: word `at` of `value`. Negative values are garbage, zero and what variables held at first.
struct Tag {
  int value = -1;
  int at = 0;
  friend bool operator==(const Tag&, const Tag&) = default;
};
constexpr Tag garbage{-1, 0}, zero{-2, 0};
using Content = std::vector<Tag>;

/// What every value should be, memory aside.
std::vector<Content> contents(const PlanProblem& problem) {
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
    const std::string name = "the copy of value " + std::to_string(copy.value) + " before step " + std::to_string(copy.step);
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

/// Plans and runs; a wrong plan is a failure of the test.
Plan plan_and_run(const PlanProblem& problem, bool share = true) {
  const Plan plan = make_plan(problem, share);
  EXPECT_EQ(plan.places.size(), problem.values.size());
  EXPECT_GE(plan.arena_bytes, plan.peak_live_bytes);
  EXPECT_EQ(Machine(problem, plan).error(), "") << (share ? "planned" : "unplanned");
  return plan;
}

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

Place place_of(const Plan& plan, int value) { return plan.places[static_cast<std::size_t>(value)]; }
Place buffer(int variable) { return {Memory::variable, variable, 0}; }

// --- cases --------------------------------------------------------------------------------------------------------------
TEST(Plan, SwapOfTwoVariables) {
  Builder b;
  const int a = b.variable(128), c = b.variable(128);
  const int old_a = b.step({b.stored(a)}, 128), old_c = b.step({b.stored(c)}, 128);  // the graph's copies
  b.assign(a, old_c);
  b.assign(c, old_a);
  plan_and_run(b.problem);
  plan_and_run(b.problem, false);
}

TEST(Plan, OneVariableTakesAnotherThatIsUpdatedInPlace) {
  Builder b;
  const int a = b.variable(128), c = b.variable(128);
  const int stored = b.stored(c);
  const int old = b.step({stored}, 128);
  const int updated = b.in_place(stored);
  b.assign(a, old);
  b.assign(c, updated);
  const Plan plan = plan_and_run(b.problem);
  EXPECT_EQ(place_of(plan, old), buffer(a));
  EXPECT_EQ(place_of(plan, updated), buffer(c));
  EXPECT_TRUE(plan.copies.empty());
  EXPECT_EQ(plan.arena_bytes, 0u);
}

TEST(Plan, ChainOfInPlaceUpdatesNeedsNoMemory) {
  Builder b;
  const int a = b.variable(128);
  int value = b.stored(a);
  for (int i = 0; i < 5; ++i) value = b.in_place(value);
  b.assign(a, value);
  const Plan plan = plan_and_run(b.problem);
  for (const Place& place : plan.places) EXPECT_EQ(place, buffer(a));
  EXPECT_EQ(plan.arena_bytes, 0u);
  EXPECT_TRUE(plan.copies.empty());
}

TEST(Plan, ReaderOfTheOldValueAfterTheUpdateCostsACopyAtTheEnd) {
  Builder b;
  const int a = b.variable(128);
  const int old = b.stored(a);
  const int updated = b.in_place(old);
  b.output(b.step({old}, 64));
  b.assign(a, updated);
  const Plan plan = plan_and_run(b.problem);
  EXPECT_EQ(place_of(plan, updated).memory, Memory::arena);
  ASSERT_EQ(plan.copies.size(), 1u);
  EXPECT_EQ(plan.copies[0].step, 2);
  EXPECT_EQ(plan.copies[0].value, updated);
  EXPECT_EQ(plan.copies[0].to, buffer(a));
}

TEST(Plan, TwoVariablesAssignedOneValue) {
  Builder b;
  const int a = b.variable(128), c = b.variable(128);
  const int made = b.step({}, 128);
  b.assign(a, made);
  b.assign(c, b.step({made}, 128));  // the graph's copy
  const Plan plan = plan_and_run(b.problem);
  EXPECT_EQ(place_of(plan, made), buffer(a));
  EXPECT_TRUE(plan.copies.empty());
}

TEST(Plan, LastReaderOfHalfOfAConcatDoesNotOverwriteIt) {
  Builder b;
  const int left = b.step({}, 128), right = b.step({}, 128);
  const int both = b.concat({left, right});
  const int half = b.view(both, 0, 128);
  const int of_half = b.in_place(half), of_piece = b.in_place(left);
  b.output(of_half);
  b.output(of_piece);
  b.output(b.step({both}, 64));
  const Plan plan = plan_and_run(b.problem);
  EXPECT_EQ(place_of(plan, left), place_of(plan, both));
  EXPECT_EQ(place_of(plan, half), place_of(plan, both));
  EXPECT_NE(place_of(plan, of_half), place_of(plan, half));
  EXPECT_TRUE(plan.copies.empty()) << "both pieces are written where they belong";
}

TEST(Plan, PiecesThatDoNotFitAreCopied) {
  Builder b;
  const int a = b.variable(64);
  const int odd = b.step({}, 100), even = b.step({}, 64), stored = b.stored(a), input = b.own(64);
  const int both = b.concat({odd, even, stored, input, odd});
  b.output(both);
  const Plan plan = plan_and_run(b.problem);
  EXPECT_EQ(plan.copies.size(), 4u) << "all but the first piece";
}

TEST(Plan, ValueInTwoConcatsIsCopiedIntoOne) {
  Builder b;
  const int x = b.step({}, 64), y = b.step({}, 64);
  b.output(b.concat({x, y}));
  b.output(b.concat({y, x}));
  EXPECT_EQ(plan_and_run(b.problem).copies.size(), 2u);
}

// The gaps of the variable may hold anything.
TEST(Plan, AlignedConcatIntoAVariableKeepsItsGapsZero) {
  Builder b;
  const int a = b.variable(192);
  const int stored = b.stored(a);
  const int scratch = b.in_place(stored);  // fills all of the variable's buffer
  const int x = b.step({scratch}, 20);
  const int flat = b.concat({b.step({x}, 20), b.step({x}, 68)}, 64);
  ASSERT_EQ(b.bytes(flat), 192u);
  b.assign(a, flat);
  plan_and_run(b.problem);
  plan_and_run(b.problem, false);
}

TEST(Plan, AlignedConcatHasMemoryOfItsOwn) {
  Builder b;
  const int x = b.step({}, 20), y = b.step({}, 68);
  const int flat = b.concat({x, y}, 64);
  b.output(b.in_place(flat));
  const Plan plan = plan_and_run(b.problem);
  EXPECT_EQ(place_of(plan, flat).memory, Memory::own);
  EXPECT_EQ(place_of(plan, x), place_of(plan, flat));
  EXPECT_EQ(place_of(plan, y).offset, 64u);
  EXPECT_TRUE(plan.copies.empty());
}

TEST(Plan, OutputsAreNotOverwritten) {
  Builder b;
  const int x = b.step({}, 128);
  const int y = b.in_place(x);
  const int z = b.in_place(y);
  b.output(x);
  b.output(z);
  const Plan plan = plan_and_run(b.problem);
  EXPECT_NE(place_of(plan, y), place_of(plan, x));
  EXPECT_EQ(place_of(plan, z), place_of(plan, y));
}

TEST(Plan, OutputIsNotMadeInAVariableThatGetsAnotherValue) {
  Builder b;
  const int a = b.variable(128);
  const int y = b.in_place(b.stored(a));
  b.output(y);
  b.assign(a, b.step({y}, 128));
  plan_and_run(b.problem);
}

TEST(Plan, VariablesThatAreNotAssignedStayAsTheyAre) {
  Builder b;
  const int a = b.variable(128);
  const int y = b.in_place(b.stored(a));
  b.output(y);
  EXPECT_EQ(place_of(plan_and_run(b.problem), y).memory, Memory::arena);
}

TEST(Plan, NothingIsSharedWithinAStep) {
  Builder b;
  const int x = b.own(128);
  // Two nodes of a group: one reads what the other might overwrite.
  const int y = b.step({x}, 128);
  const int z = b.in_place(y, {y});
  const int first = b.step({z, x}, 128);
  b.problem.values.push_back({128, Origin::computed, -1});
  const int second = first + 1;
  PlanProblem::Step& group = b.problem.steps.back();
  group.reads = {z, x, z};
  group.writes = {first, second};
  group.in_place = {{first, z}, {second, z}};
  group.workspace = 256;
  b.output(first);
  b.output(second);
  const Plan plan = plan_and_run(b.problem);
  EXPECT_NE(place_of(plan, z), place_of(plan, y));
}

TEST(Plan, EmptyValuesAndProblems) {
  plan_and_run({});
  Builder b;
  const int a = b.variable(0);
  const int x = b.step({b.stored(a)}, 0), y = b.step({x}, 64);
  b.output(b.concat({x, y, x}));
  b.assign(a, b.in_place(x));
  plan_and_run(b.problem);
  plan_and_run(b.problem, false);
}

// --- random problems ------------------------------------------------------------------------------------------------------
class RandomProblem {
 public:
  explicit RandomProblem(unsigned seed) : random_(seed) {}

  PlanProblem make() {
    for (int i = below(4); i > 0; --i) stored_.push_back(b_.stored(b_.variable(size())));
    values_ = stored_;
    for (int i = 1 + below(3); i > 0; --i) values_.push_back(b_.own(size()));
    for (int i = 3 + below(25); i > 0; --i) add_something();
    assign_and_output();
    return b_.problem;
  }

 private:
  int below(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }
  /// Few different sizes, so that memory can often be taken over; some that no 64 divides.
  std::size_t size() { return std::vector<std::size_t>{64, 64, 128, 128, 192, 20, 100, 320, 0}[static_cast<std::size_t>(below(9))]; }
  /// New values more often than old ones.
  int some() {
    const int n = static_cast<int>(values_.size());
    return values_[static_cast<std::size_t>(below(3) ? std::max(0, n - 1 - below(6)) : below(n))];
  }

  void add_something() {
    switch (below(8)) {
      case 0: return add_view();
      case 1: return add_concat();
      case 2: return add_group();
      case 3: case 4: return values_.push_back(b_.in_place(some()));
      case 5:
        if (!stored_.empty()) return values_.push_back(b_.in_place(stored_[static_cast<std::size_t>(below(static_cast<int>(stored_.size())))], {some()}));
        [[fallthrough]];
      default: return add_step();
    }
  }

  void add_view() {
    const int base = some();
    const std::size_t bytes = b_.bytes(base);
    const std::size_t offset = bytes < 64 ? 0 : static_cast<std::size_t>(below(static_cast<int>(bytes / 64))) * 64;
    values_.push_back(b_.view(base, offset, below(2) ? bytes - offset : std::min<std::size_t>(bytes - offset, 64)));
  }

  void add_concat() {
    std::vector<int> pieces;
    for (int i = 1 + below(4); i > 0; --i) pieces.push_back(some());
    values_.push_back(b_.concat(pieces, below(3) ? 1 : 64));
  }

  void add_step() {
    std::vector<int> reads;
    for (int i = below(3); i >= 0; --i) reads.push_back(some());
    const int output = b_.step(reads, below(2) ? b_.bytes(reads[0]) : size());
    PlanProblem::Step& step = b_.problem.steps.back();
    for (int read : reads)
      if (below(2)) step.in_place.push_back({output, read});  // sizes may differ: the plan looks
    if (below(4) == 0) step.workspace = 4 * static_cast<std::size_t>(1 + below(60));
    values_.push_back(output);
    if (below(3)) return;
    const std::size_t bytes = size();
    b_.problem.values.push_back({bytes, Origin::computed, -1});
    step.writes.push_back(output + 1);
    if (b_.bytes(reads.back()) == bytes) step.in_place.push_back({output + 1, reads.back()});
    values_.push_back(output + 1);
  }

  void add_group() {
    PlanProblem::Step step;
    std::vector<int> made;
    for (int i = 2 + below(2); i > 0; --i) {
      const int read = some(), output = static_cast<int>(b_.problem.values.size());
      b_.problem.values.push_back({b_.bytes(read), Origin::computed, -1});
      step.reads.push_back(read);
      step.writes.push_back(output);
      step.in_place.push_back({output, read});
      made.push_back(output);
    }
    b_.problem.steps.push_back(step);
    values_.insert(values_.end(), made.begin(), made.end());
  }

  /// Where a value comes from, through views.
  int root(int value) const {
    for (bool found = true; found;) {
      found = false;
      for (const PlanProblem::View& view : b_.problem.views)
        if (view.value == value) {
          value = view.base;
          found = true;
          break;
        }
    }
    return value;
  }
  bool computed(int value) const { return b_.problem.values[static_cast<std::size_t>(root(value))].origin == Origin::computed; }

  void assign_and_output() {
    std::set<int> taken;
    for (int v = 0; v < static_cast<int>(stored_.size()); ++v) {
      if (below(4) == 0) continue;
      for (int tries = 0; tries < 20; ++tries) {
        const int value = some();
        if (!computed(value) || b_.bytes(value) != b_.problem.variable_bytes[static_cast<std::size_t>(v)]) continue;
        if (!taken.insert(root(value)).second) continue;
        b_.assign(v, value);
        break;
      }
    }
    for (int i = below(4); i > 0; --i) {
      const int value = some();
      if (b_.problem.values[static_cast<std::size_t>(root(value))].origin != Origin::variable) b_.output(value);
    }
  }

  std::mt19937 random_;
  Builder b_;
  std::vector<int> stored_, values_;
};

TEST(Plan, RandomProblemsRunAsWritten) {
  double arena = 0, peak = 0;
  int shared = 0, laid = 0, in_variables = 0, end_copies = 0;
  for (unsigned seed = 0; seed < 20'000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const PlanProblem problem = RandomProblem(seed).make();
    const Plan plan = plan_and_run(problem);
    const Plan oracle = plan_and_run(problem, false);
    ASSERT_FALSE(testing::Test::HasFailure());
    EXPECT_LE(plan.arena_bytes, oracle.arena_bytes);
    arena += static_cast<double>(plan.arena_bytes);
    peak += static_cast<double>(plan.peak_live_bytes);
    // That all rules were at work.
    for (const PlanProblem::Step& step : problem.steps) {
      for (const auto& pair : step.in_place) shared += place_of(plan, pair.output) == place_of(plan, pair.input) && problem.values[static_cast<std::size_t>(pair.input)].bytes;
      for (std::size_t i = 0; i < step.pieces.size(); ++i) {
        Place piece = place_of(plan, step.writes[0]);
        piece.offset += step.pieces[i];
        laid += piece == place_of(plan, step.reads[i]);
      }
    }
    for (const auto& [variable, value] : problem.assigns) in_variables += place_of(plan, value) == buffer(variable);
    for (const Plan::Copy& copy : plan.copies) end_copies += copy.step == static_cast<int>(problem.steps.size());
  }
  EXPECT_LE(arena, 1.25 * peak);
  RecordProperty("arena_over_peak", std::to_string(arena / peak));
  EXPECT_GT(shared, 1000);
  EXPECT_GT(laid, 1000);
  EXPECT_GT(in_variables, 1000);
  EXPECT_GT(end_copies, 1000);
}

}  // namespace
}  // namespace ganforge
