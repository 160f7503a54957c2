// Threads for the kernels that are compiled once per instruction set.
#pragma once

#include <ganforge/stream.h>

#include <omp.h>

#include <cstdint>

namespace ganforge {

/// f(threads, thread) on every thread of the stream if the work is worth it, else f(1, 0) on the caller: even a
/// parallel region of one thread costs an allocation.
template <class Function>
static inline void on_team(const CpuStream& stream, bool worth_it, const Function& f) {
  if (stream.threads <= 1 || !worth_it) {
    f(1, 0);
    return;
  }
#pragma omp parallel num_threads(stream.threads)
  f(omp_get_num_threads(), omp_get_thread_num());
}

/// f(part) for every part < parts: threads take one part after another as they become free. `parts` depends on sizes
/// alone, never on the number of threads, so that results do not either.
template <class Function>
static inline void in_parts(const CpuStream& stream, std::int64_t parts, const Function& f) {
  if (stream.threads <= 1 || parts <= 1) {
    for (std::int64_t part = 0; part < parts; ++part) f(part);
    return;
  }
#pragma omp parallel for schedule(dynamic, 1) num_threads(stream.threads)
  for (std::int64_t part = 0; part < parts; ++part) f(part);
}

/// Waits for the other threads of the team.
static inline void team_barrier() {
#pragma omp barrier
}

}  // namespace ganforge
