#include "src/core/team.h"

#include <linux/futex.h>
#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <optional>
#include <thread>

namespace ganforge {
namespace {

using Word = std::atomic<std::uint32_t>;
static_assert(sizeof(Word) == sizeof(std::uint32_t) && Word::is_always_lock_free, "the kernel waits on the bare word");

// Longer than the serial stretches of a training step and than the usual difference between shares; a small part of
// what a scheduler gives a process at a time, which is milliseconds.
constexpr std::chrono::microseconds spin_time{50};
constexpr std::size_t line = 128;  // two cache lines: processors fetch them in pairs

/// Sleeps while `word` is `value`; what it is then.
std::uint32_t sleep_while(Word& word, std::uint32_t value) {
  std::uint32_t now = word.load(std::memory_order_acquire);
  while (now == value) {
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
    now = word.load(std::memory_order_acquire);
  }
  return now;
}
/// A word has one sleeper.
void wake(Word& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Whether ready() became true within spin_time.
template <class Ready>
bool spin(bool wanted, Ready ready) {
  using Clock = std::chrono::steady_clock;
  if (ready()) return true;
  if (!wanted) return false;
  for (const Clock::time_point end = Clock::now() + spin_time; Clock::now() < end;) {
    for (int i = 0; i < 16; ++i) {
      if (ready()) return true;
      pause();
    }
  }
  return false;
}

/// While it lives, a thread (0: the calling one) runs on one core alone, or on all its cores but that one; where that
/// leaves none or is forbidden, nothing changes.
class Confined {
 public:
  enum Where { on, off };
  Confined(pid_t thread, Where where, int core) : thread_(thread) {
    if (core < 0 || core >= CPU_SETSIZE || sched_getaffinity(thread, sizeof all_, &all_) != 0) return;
    cpu_set_t some = all_;
    CPU_CLR(core, &some);
    if (where == on) CPU_XOR(&some, &some, &all_);
    done_ = CPU_COUNT(&some) > 0 && sched_setaffinity(thread, sizeof some, &some) == 0;
  }
  ~Confined() {
    if (done_) sched_setaffinity(thread_, sizeof all_, &all_);
  }
  Confined(const Confined&) = delete;
  Confined& operator=(const Confined&) = delete;

 private:
  pid_t thread_;
  cpu_set_t all_;
  bool done_ = false;
};

thread_local bool inside_job = false;

// What a worker is told, in a word of its own. The worker may only take what is open; so may the caller, who then does
// the share itself. Who took it may read the job until `pending` counts its share off: the caller writes the next one
// after that.
enum State : std::uint32_t { nothing, open, running, asleep, stop };

struct alignas(line) Worker {
  Word state{nothing};
  std::atomic<int> caller_core{-1};
  Team::Job job = nullptr;
  void* context = nullptr;
  pid_t id = 0;
  std::thread thread;

  /// In the middle of a share, but not on a core: its clock stands still.
  bool lacks_core() {
    clockid_t clock;
    timespec before, after;
    if (state.load(std::memory_order_acquire) != running) return false;
    if (pthread_getcpuclockid(thread.native_handle(), &clock) != 0 || clock_gettime(clock, &before) != 0) return false;
    for (int i = 0; i < 64; ++i) pause();
    if (clock_gettime(clock, &after) != 0 || before.tv_nsec != after.tv_nsec) return false;
    return state.load(std::memory_order_relaxed) == running;
  }
};

constexpr std::uint32_t caller_asleep = std::uint32_t(1) << 31;  // in `pending`

}  // namespace

// Beside a process that keeps one core busy the scheduler is slow to help: it does not offer a core that falls idle
// what ran within the last half millisecond elsewhere, and sees nothing wrong in two threads of a team on one core with
// the other process alone on another. So a caller that has to wait gives its core to a worker that lost its own in the
// middle of a share, and a worker that finds itself on the caller's core goes to another before it takes a share. On a
// machine with a core for each thread neither happens.
struct Team::Shared {
  explicit Shared(int threads) : workers(threads - 1), spins(threads <= available_cores()) {}

  int workers;
  bool spins;                     // more threads than cores: spinning keeps others from their work
  alignas(line) Word pending{0};  // shares that are not done
  std::unique_ptr<Worker[]> worker = std::make_unique<Worker[]>(static_cast<std::size_t>(workers));

  void work(int number) {
    Worker& me = worker[number];
    me.id = gettid();
    inside_job = true;
    omp_set_num_threads(1);
    for (;;) {
      wait_for_work(me);
      if (const int core = sched_getcpu(); spins && core == me.caller_core.load(std::memory_order_relaxed)) {
        Confined(0, Confined::off, core);
      }
      std::uint32_t state = open;
      if (me.state.compare_exchange_strong(state, running, std::memory_order_acq_rel)) {
        me.job(me.context, workers + 1, number + 1);
        me.state.store(nothing, std::memory_order_relaxed);
        if (pending.fetch_sub(1, std::memory_order_acq_rel) == (caller_asleep | 1)) wake(pending);
      } else if (state == stop) {
        return;
      }
    }
  }

  void wait_for_work(Worker& me) {
    while (!spin(spins, [&] { return me.state.load(std::memory_order_relaxed) != nothing; })) {
      std::uint32_t state = nothing;
      if (!me.state.compare_exchange_strong(state, asleep, std::memory_order_relaxed)) return;
      sleep_while(me.state, asleep);
    }
  }

  void tell(Worker& worker, State state) {
    if (worker.state.exchange(state, std::memory_order_acq_rel) == asleep) wake(worker.state);
  }

  void wait_for_shares() {
    if (spin(spins, [&] { return pending.load(std::memory_order_acquire) == 0; })) return;
    std::optional<Confined> moved;
    for (int i = 0; i < workers && spins && !moved; ++i) {
      if (worker[i].lacks_core()) moved.emplace(worker[i].id, Confined::on, sched_getcpu());
    }
    std::uint32_t left = pending.fetch_or(caller_asleep, std::memory_order_acquire) | caller_asleep;
    while (left != caller_asleep) left = sleep_while(pending, left);
  }

  void join(int started) {
    for (int i = 0; i < started; ++i) tell(worker[i], stop);
    for (int i = 0; i < started; ++i) worker[i].thread.join();
  }
};

int available_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(CPU_COUNT(&set), 1);
  return static_cast<int>(std::max(std::thread::hardware_concurrency(), 1u));
}

Team::Team(int threads) : threads_(threads), shared_(std::make_unique<Shared>(threads)) {
  for (int i = 0; i < threads - 1; ++i) {
    try {
      shared_->worker[i].thread = std::thread([shared = shared_.get(), i] { shared->work(i); });
    } catch (...) {
      shared_->join(i);
      throw;
    }
  }
}

Team::~Team() {
  shared_->join(threads_ - 1);
}

void Team::run(Job job, void* context) noexcept {
  if (inside_job || threads_ == 1) {
    job(context, 1, 0);
    return;
  }
  inside_job = true;
  Shared& shared = *shared_;
  shared.pending.store(static_cast<std::uint32_t>(shared.workers), std::memory_order_relaxed);
  const int core = sched_getcpu();
  for (int i = 0; i < shared.workers; ++i) {
    Worker& worker = shared.worker[i];
    worker.job = job;
    worker.context = context;
    worker.caller_core.store(core, std::memory_order_relaxed);
    shared.tell(worker, open);
  }
  job(context, threads_, 0);
  for (int i = 0; i < shared.workers; ++i) {
    std::uint32_t state = open;
    if (!shared.worker[i].state.compare_exchange_strong(state, nothing, std::memory_order_relaxed)) continue;
    job(context, threads_, i + 1);
    shared.pending.fetch_sub(1, std::memory_order_relaxed);
  }
  shared.wait_for_shares();
  inside_job = false;
}

OpenMpOff::OpenMpOff() : before_(omp_get_max_threads()) {
  if (before_ != 1) omp_set_num_threads(1);
}
OpenMpOff::~OpenMpOff() {
  if (before_ != 1) omp_set_num_threads(before_);
}

}  // namespace ganforge
