// How the CPU kernels share their work between threads. What is shared out must not throw, and must enter no OpenMP
// region (src/core/team.h).
#pragma once

#include "src/core/team.h"

#include <ganforge/stream.h>

#include <cstdint>

namespace ganforge {

/// f(threads, thread) for every thread of the stream if the work is worth it, else f(1, 0). Calls must not wait for
/// each other: phases that depend on each other are consecutive calls of on_team.
template <class Function>
static inline void on_team(const CpuStream& stream, bool worth_it, const Function& f) {
  if (!stream.team || stream.threads <= 1 || !worth_it) {
    f(1, 0);
    return;
  }
  stream.team->run(
      [](void* context, int threads, int thread) { (*static_cast<const Function*>(context))(threads, thread); },
      const_cast<Function*>(&f));
}

/// f(part) for every part < parts: threads take one part after another as they become free. `parts` depends on sizes
/// alone, never on the number of threads, so that results do not either.
template <class Function>
static inline void in_parts(const CpuStream& stream, std::int64_t parts, const Function& f) {
  alignas(64) std::int64_t next = 0;
  on_team(stream, parts > 1, [&](int threads, int) {
    if (threads == 1) {
      for (std::int64_t part = 0; part < parts; ++part) f(part);
      return;
    }
    for (std::int64_t part; (part = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED)) < parts;) f(part);
  });
}

}  // namespace ganforge
