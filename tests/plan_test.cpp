// The memory plan: cases, and random problems.
#include "tests/plan_machine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace ganforge::plan_test {
namespace {

/// Plans and runs; a wrong plan is a failure of the test.
Plan plan_and_run(const PlanProblem& problem, bool share = true) {
  const Plan plan = make_plan(problem, share);
  EXPECT_EQ(plan.places.size(), problem.values.size());
  EXPECT_GE(plan.arena_bytes, plan.peak_live_bytes);
  EXPECT_EQ(Machine(problem, plan).error(), "") << (share ? "planned" : "unplanned");
  return plan;
}

Place place_of(const Plan& plan, int value) {
  return plan.places[static_cast<std::size_t>(value)];
}
Place buffer(int variable) {
  return {Memory::variable, variable, 0};
}

// --- cases
// --------------------------------------------------------------------------------------------------------------
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
  b.output(b.step({y}, 64));
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

// --- random problems
// ------------------------------------------------------------------------------------------------------
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
  std::size_t size() {
    return std::vector<std::size_t>{64, 64, 128, 128, 192, 20, 100, 320, 0}[static_cast<std::size_t>(below(9))];
  }
  /// New values more often than old ones.
  int some() {
    const int n = static_cast<int>(values_.size());
    return values_[static_cast<std::size_t>(below(3) ? std::max(0, n - 1 - below(6)) : below(n))];
  }

  void add_something() {
    switch (below(8)) {
      case 0:
        return add_view();
      case 1:
        return add_concat();
      case 2:
        return add_group();
      case 3:
      case 4:
        return values_.push_back(b_.in_place(some()));
      case 5:
        if (!stored_.empty())
          return values_.push_back(
              b_.in_place(stored_[static_cast<std::size_t>(below(static_cast<int>(stored_.size())))], {some()}));
        [[fallthrough]];
      default:
        return add_step();
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
  bool computed(int value) const {
    return b_.problem.values[static_cast<std::size_t>(root(value))].origin == Origin::computed;
  }

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
      for (const auto& pair : step.in_place)
        shared += place_of(plan, pair.output) == place_of(plan, pair.input) &&
                  problem.values[static_cast<std::size_t>(pair.input)].bytes;
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
}  // namespace ganforge::plan_test
