// A schedule at a tick, the same bits on both backends.
#pragma once

#include "kernels/philox.h"
#include <ganforge/schedule.h>

namespace ganforge {

/// 2^(−1/v), 0 for v ≤ 1/126: 2^−x = 2^−⌊x⌋ · e^(−ln 2 · (x − ⌊x⌋)) with sixteen terms of the series, exact to a
/// double's last digits.
GANFORGE_EXACT float decay_of_half_life(float v) {
  if (!(v > 0)) return 0;
  const double x = 1.0 / double(v);
  if (x >= 126) return 0;
  const auto whole = std::uint32_t(x);
  const double y = mul(add(x, -double(whole)), -0.69314718055994531);
  double sum = 1;
  for (int k = 16; k > 0; --k) sum = add(1.0, mul(mul(y, 1.0 / k), sum));
  return mul(float(sum), float_of((127 - whole) << 23));
}

GANFORGE_EXACT float planned_value(const Schedule& schedule, std::int64_t tick) {
  if (schedule.kind == Schedule::Kind::constant) return schedule.from;
  if (schedule.kind == Schedule::Kind::step) return tick < schedule.begin ? schedule.from : schedule.to;
  if (tick <= schedule.begin && tick < schedule.end) return schedule.from;
  if (tick >= schedule.end) return schedule.to;
  const double share = double(tick - schedule.begin) / double(schedule.end - schedule.begin);
  double of_from = 1 - share, of_to = share;
  if (schedule.kind == Schedule::Kind::cosine) {
    // (1 ± cos πs)/2 = cos², sin² of πs/2: a quarter turn at s = 1, and no digits lost at either end.
    const CosSin quarter = cos_sin_of_turn(std::uint32_t(share * 0x1p30));
    of_from = double(quarter.cosine) * quarter.cosine;
    of_to = double(quarter.sine) * quarter.sine;
  }
  return float(add(mul(double(schedule.from), of_from), mul(double(schedule.to), of_to)));
}

GANFORGE_EXACT float schedule_value(const Schedule& schedule, std::int64_t tick) {
  const float value = planned_value(schedule, tick);
  return schedule.half_life ? decay_of_half_life(value) : value;
}

}  // namespace ganforge
