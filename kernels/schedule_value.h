// A schedule at a tick, the same bits on both backends.
#pragma once

#include "kernels/philox.h"
#include <ganforge/schedule.h>

namespace ganforge {

GANFORGE_EXACT float schedule_value(const Schedule& schedule, std::int64_t tick) {
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

}  // namespace ganforge
