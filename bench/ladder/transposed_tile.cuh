// Steps of k of the implicit product by asynchronous copies, for the rungs that have them: 64 positions × 32 channels
// of a tap, in rows of 36 floats, and 32 × 64 of the filter, in rows of 72, so that both are read without bank
// conflicts.
#pragma once

#include "bench/ladder/async_tile.cuh"
#include "bench/ladder/subpixel.cuh"

namespace ganforge::ladder {

struct TransposedTile {
  static constexpr int rows = 64, columns = 64, depth = 32, threads = 128, stages = 3;
  static constexpr int x_pitch = depth + 4, f_pitch = columns + 8;
  static constexpr int stage_floats = rows * x_pitch + depth * f_pitch, bytes = 4 * stages * stage_floats;

  static dim3 grid(const TransposedProblem& p) { return dim3(p.out / columns, divide_up(p.n * p.h * p.w, rows), 4); }

  /// multiply(x tile, filter tile) for each of the steps: taps outside, channels inside.
  template <class Multiply>
  __device__ static void run(const TransposedProblem& p, float* shared, const Multiply& multiply) {
    const int odd_u = blockIdx.z / 2, odd_v = blockIdx.z % 2, steps_of_tap = p.in / depth;
    pipeline<stages>(
        4 * steps_of_tap,
        [&](int step, int stage) {
          const int tap = step / steps_of_tap, k0 = step % steps_of_tap * depth;
          float* const to = shared + stage * stage_floats;
          fetch_rows<rows, depth, x_pitch, threads>(to, [&](int row) {
            const float* const x = Position(p, blockIdx.y * rows + row).input(p, odd_u, odd_v, tap);
            return x ? x + k0 : nullptr;
          });
          const float* const f = filter(p, odd_u, odd_v, tap) + blockIdx.x * columns;
          fetch_rows<depth, columns, f_pitch, threads>(to + rows * x_pitch,
                                                       [&](int row) { return f + (k0 + row) * 16 * p.out; });
        },
        [&](int stage) {
          const float* const xs = shared + stage * stage_floats;
          multiply(xs, xs + rows * x_pitch);
        });
  }
};

}  // namespace ganforge::ladder
