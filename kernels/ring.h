// Steps of the prologue that both backends share.
#pragma once

#include "kernels/hd.h"
#include "kernels/prologue.h"

namespace ganforge {

/// Files the statistics of the run that ended tick `tick`, by threads 0 … threads − 1 of one block.
GANFORGE_HD inline void file_statistics(const PrologueArgs& args, std::int64_t tick, int thread, int threads) {
  const std::int64_t filed = tick > 0 ? (tick - 1) % args.ring_rows : -1;
  if (filed >= 0) {
    for (int slot = thread; slot < statistics_slots; slot += threads) {
      args.new_ring[filed * statistics_slots + slot] = args.statistics[slot * statistics_stride];
    }
    if (thread == 0) args.new_ring_tick[filed] = tick;
  }
  if (args.new_ring != args.ring) {
    for (std::int64_t i = thread; i < args.ring_rows * statistics_slots; i += threads) {
      if (i / statistics_slots != filed) args.new_ring[i] = args.ring[i];
    }
  }
  if (args.new_ring_tick != args.ring_tick) {
    for (std::int64_t row = thread; row < args.ring_rows; row += threads) {
      if (row != filed) args.new_ring_tick[row] = args.ring_tick[row];
    }
  }
}

/// What to draw at `tick`.
GANFORGE_HD inline DrawBatchArgs batch_at(DrawBatchArgs batch, std::int64_t tick) {
  if (batch.staged) batch.data += tick % 2 * batch.rows * batch.sample;
  return batch;
}

}  // namespace ganforge
