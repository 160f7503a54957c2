// Quantities that change with the step, evaluated on the device.
#pragma once

#include <cstdint>

namespace ganforge {

///   constant: from;  linear, cosine: from → to between ticks begin and end, constant outside;
///   step: from before `begin`, to from then on.
/// A tick is the number of updating runs so far. With `half_life` what comes out is ½^(1/v) of the value v found so:
/// the decay of a moving average whose half-life is v ticks, 0 at v = 0.
struct Schedule {
  enum class Kind { constant, linear, cosine, step };
  Kind kind = Kind::constant;
  float from = 0, to = 0;
  std::int64_t begin = 0, end = 0;
  bool half_life = false;
  friend bool operator==(const Schedule&, const Schedule&) = default;
};

/// How a value goes on from what it is at the beginning: the rest of a schedule.
struct Decay {
  Schedule::Kind kind = Schedule::Kind::constant;
  float to = 0;
  std::int64_t begin = 0, end = 0;
  std::int64_t images = 0;  ///< where not 0, a trainer sets `end`: so many real samples behind `begin`, a batch a step
  Schedule from(float value) const { return {kind, value, to, begin, end}; }
  friend bool operator==(const Decay&, const Decay&) = default;
};

}  // namespace ganforge
