// Where every value of a program lives. A pure function of sizes and the schedule: it knows neither ops nor devices.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace ganforge {

inline constexpr std::size_t memory_alignment = 64;
inline std::size_t align_up(std::size_t bytes) {
  return (bytes + memory_alignment - 1) / memory_alignment * memory_alignment;
}

/// Values are numbered from 0. A step is one instant: a launch of one node or of a group.
struct PlanProblem {
  enum class Origin {
    computed,  ///< by some step
    variable,  ///< stored in a variable's buffer when the program starts
    own        ///< memory of its own for the life of the program: inputs, constants
  };
  struct Value {
    std::size_t bytes = 0;
    Origin origin = Origin::computed;
    int variable = -1;  ///< origin variable: which
  };
  /// `value` is the memory of `base` from `offset` bytes on. Views are listed after their base.
  struct View {
    int value, base;
    std::size_t offset;
  };
  /// An output that may take the memory of an input of the same step.
  struct InPlace {
    int output, input;
  };
  struct Step {
    std::vector<int> reads, writes;
    std::vector<InPlace> in_place;
    std::size_t workspace = 0;
    /// The step lays `reads` side by side into writes[0], at these offsets: what is there already needs no copy.
    std::vector<std::size_t> pieces;
    bool gaps = false;  ///< … and leaves gaps, which are zero
  };
  std::vector<Value> values;
  std::vector<View> views;
  std::vector<Step> steps;
  std::vector<std::size_t> variable_bytes;
  std::vector<std::pair<int, int>>
      assigns;               ///< (variable, value) at the end; no value twice, none of them stored or own
  std::vector<int> outputs;  ///< values that the host reads after the last step
};

struct Place {
  enum class Memory { arena, variable, own } memory = Memory::arena;
  int index = 0;           ///< variable: which; own: which piece of own memory
  std::size_t offset = 0;  ///< bytes from its start
  friend bool operator==(const Place&, const Place&) = default;
};

struct Plan {
  struct Copy {
    int step;  ///< runs in place of this concatenation; steps.size(): after the last step
    int value;
    Place to;
  };
  std::vector<Place> places;            ///< per value
  std::vector<std::size_t> workspaces;  ///< per step: offset in the arena
  std::vector<Copy> copies;             ///< in order of step
  std::vector<std::size_t> own_bytes;   ///< per piece of own memory; zero at first
  std::size_t arena_bytes = 0;
  std::size_t peak_live_bytes = 0;  ///< the most bytes of the arena that are alive in one step: a lower bound
};

/// The rules, in this order:
///   1. a view lies in its base; a piece lies in its concatenation if it is the whole of fresh memory, is piece of no
///   other
///      one and its offset is aligned; else it is copied there;
///   2. an output takes its in-place input's memory if the step is the last use of all of that memory, nothing else of
///      the step lies in it, and sizes agree; a variable's memory only if the program assigns that variable;
///   3. the last value assigned to a variable is made in the variable's buffer if no use of older values comes at or
///   after
///      its making and it has no gaps, which the buffer's old content would fill; else it is copied there after the
///      last step;
///   4. what is left shares the arena: first fit, largest first, by lifetime.
/// `share` off gives every value memory of its own and skips rules 2 and 3: the oracle.
Plan make_plan(const PlanProblem& problem, bool share = true);

}  // namespace ganforge
