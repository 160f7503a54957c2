// Worker threads of the CPU device. A job costs about a microsecond while the workers are awake, and waiting ends: a
// thread that finds nothing to do spins for some microseconds, then sleeps in the kernel, so that beside other
// processes the scheduler can move whoever still works onto the free core.
#pragma once

#include <memory>

namespace ganforge {

/// Cores that this process may run on, at least 1.
int available_cores();

class Team {
 public:
  /// One thread's share of a job: `thread` of `threads`. It must not throw (the program would end), and must not wait
  /// for another share: shares may be done one after the other by the same thread.
  using Job = void (*)(void* context, int threads, int thread);

  /// Starts threads − 1 workers. Throws std::system_error if the system has no more threads.
  explicit Team(int threads);
  /// Joins the workers. No job may be running.
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int threads() const { return threads_; }

  /// job(context, threads, thread) for every thread of the team; returns when all shares are done. The caller does
  /// share 0, worker i share i, and the caller also those that their workers have not begun when it is done with its
  /// own. From inside a job, of this or another team, it is job(context, 1, 0) on the calling thread. Allocates
  /// nothing. One thread at a time may call it.
  ///
  /// Shares must enter no OpenMP region: libgomp would start a second set of threads that spin beside these. For the
  /// libraries that are called in shares, the number of OpenMP threads is 1 on every worker; on the caller it is the
  /// application's, and OpenMpOff sets it.
  void run(Job job, void* context) noexcept;

 private:
  struct Shared;
  int threads_;
  std::unique_ptr<Shared> shared_;
};

/// While it lives, OpenMP regions that the calling thread enters have one thread.
class OpenMpOff {
 public:
  OpenMpOff();
  ~OpenMpOff();
  OpenMpOff(const OpenMpOff&) = delete;
  OpenMpOff& operator=(const OpenMpOff&) = delete;

 private:
  int before_;
};

}  // namespace ganforge
