// Counter-based random numbers: Philox4x32-10 (Salmon et al., SC'11). The same bits on every backend.
#pragma once

#include <ganforge/schedule.h>
#include <ganforge/stream.h>

#include <cstdint>

namespace ganforge {

/// A stream of random numbers. Element e of draw `draw` at tick `tick` under `seed` is a pure function of the four
/// (key = seed and purpose, counter = (element / 4, tick, draw); the lane is element mod 4). `first` is added to the
/// element number: rank r of a data-parallel run draws rows from r·N.
struct Draw {
  std::uint64_t seed;
  std::uint32_t purpose;  // Purpose below
  std::uint32_t draw;     // two draws of a program never share a number
  std::int64_t first;
};
enum Purpose : std::uint32_t { purpose_noise = 0, purpose_initialise = 1, purpose_shuffle = 2, purpose_sample = 3 };

/// y[i] uniform in [low, high), 24 random bits; i < n. `tick` is read on the stream's device.
void uniform(const CpuStream& stream, const Draw& draw, const std::int64_t* tick, float low, float high, float* y,
             std::int64_t n);
void uniform(const CudaStream& stream, const Draw& draw, const std::int64_t* tick, float low, float high, float* y,
             std::int64_t n);

/// y[i] = mean + stddev · N(0, 1) by Box–Muller with our own log and sincos, so that both backends agree to the bit.
void normal(const CpuStream& stream, const Draw& draw, const std::int64_t* tick, float mean, float stddev, float* y,
            std::int64_t n);
void normal(const CudaStream& stream, const Draw& draw, const std::int64_t* tick, float mean, float stddev, float* y,
            std::int64_t n);

/// Draws `rows` samples without replacement: row i is sample π_e(p mod count) with p = cursor + i, epoch e = p / count,
/// and π_e the Feistel permutation of [0, count) keyed by (seed, e) (cycle walking). An epoch draws every sample once.
///   data [count, sample] uint8, or values of that shape, labels [count] int32 or null, cursor int64 scalar on the
///   device →  x [rows, sample] = data · scale + shift, or values as they are (float32), y [rows] int32 (null if labels
///   is), new_cursor = cursor + rows
/// new_cursor may be cursor's memory. ticket: as in Adam.
struct DrawBatchArgs {
  const std::uint8_t* data;
  const std::int32_t* labels;
  const std::int64_t* cursor;
  float* x;
  std::int32_t* y;
  std::int64_t* new_cursor;
  std::int64_t count, sample, rows;
  float scale, shift;
  std::uint64_t seed;
  unsigned* ticket;
  const float* values = nullptr;  // where not null, in place of data
  bool staged = false;  // data [rows, sample] are the batch itself, in order; labels are drawn all the same
};
void draw_batch(const CpuStream& stream, const DrawBatchArgs& args);
void draw_batch(const CudaStream& stream, const DrawBatchArgs& args);

inline constexpr int max_schedules = 16;
/// *values[i] = schedules[i] at *tick, for i < count (`schedules` and the array `values` are host memory).
void schedule(const CpuStream& stream, const Schedule* schedules, int count, const std::int64_t* tick,
              float* const* values);
void schedule(const CudaStream& stream, const Schedule* schedules, int count, const std::int64_t* tick,
              float* const* values);

}  // namespace ganforge
