// The op that opens an updating program: everything that changes from step to step, in one launch.
#pragma once

#include <ganforge/stream.h>
#include "kernels/random.h"

#include <cstdint>

namespace ganforge {

inline constexpr int statistics_slots = 32;
inline constexpr int statistics_stride = 16;  // floats between two slots: each has 64 bytes of its own
inline constexpr int max_latents = 12;

/// A latent input of `elements` numbers, drawn as in random.h with purpose_noise and this draw number.
struct Latent {
  enum class Kind { normal, uniform };
  Kind kind;        // normal: N(0, 1);  uniform: [low, high)
  float low, high;  // uniform alone
  std::uint32_t draw;
  std::int64_t elements;
  float* z;
  std::int64_t first = 0;  // number of its first element (random.h): rank r of a data-parallel run has r · elements
};

/// With t = *tick (number of updating runs so far):
///   1. if t > 0, files the last step's statistics: ring[(t−1) mod ring_rows] = statistics, ring_tick[the same] = t
///      (so the row of tick t holds what the t-th updating run reported);
///   2. evaluates the schedules at t;  3. draws the latents at t;  4. draws the batch (random.h) at *cursor;
///      if batch.staged, batch.data [2, rows, sample] hold it at t mod 2;
///   5. new_tick = t + 1, new_cursor = cursor + batch.rows.
/// new_tick, new_cursor, new_ring, new_ring_tick may be the memory of their inputs, and are in practice; where new_ring
/// is not ring, all its rows are copied.
struct PrologueArgs {
  const std::int64_t* tick;
  std::int64_t* new_tick;
  const float* statistics;  // [statistics_slots · statistics_stride]; slot i at i · statistics_stride
  const float* ring;        // [ring_rows, statistics_slots]
  float* new_ring;
  const std::int64_t* ring_tick;  // [ring_rows]
  std::int64_t* new_ring_tick;
  std::int64_t ring_rows;
  int schedules;
  Schedule schedule[max_schedules];
  float* schedule_value[max_schedules];  // a scalar each
  int latents;
  Latent latent[max_latents];
  DrawBatchArgs batch;  // batch.rows == 0: no data; batch.ticket unused
  std::uint64_t seed;
  unsigned* ticket;  // CUDA: one counter, zero before the first launch; the kernel leaves it zero
};
void prologue(const CpuStream& stream, const PrologueArgs& args);
void prologue(const CudaStream& stream, const PrologueArgs& args);

}  // namespace ganforge
