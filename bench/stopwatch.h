// The clock of the benchmarks.
#pragma once

#include <ctime>

namespace ganforge::bench {

/// Seconds since it was made: of wall time, or of the calling thread's own CPU time, in which what else runs on the
/// machine hardly counts. The latter is right for work of a single thread alone.
class Stopwatch {
 public:
  explicit Stopwatch(bool own_time) : clock_(own_time ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC), begin_(now()) {}

  double seconds() const { return now() - begin_; }

 private:
  double now() const {
    timespec time;
    clock_gettime(clock_, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }

  clockid_t clock_;
  double begin_;
};

}  // namespace ganforge::bench
