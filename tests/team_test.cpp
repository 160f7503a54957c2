#include "kernels/parallel.h"
#include "kernels/team.h"

#include <gtest/gtest.h>

#include <omp.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

namespace ganforge {
namespace {

CpuStream stream_of(Team& team) {
  return {team.threads(), Isa::baseline, &team};
}

const int team_sizes[] = {1, 2, 3, available_cores() + 5};

TEST(Team, EveryShareIsDoneOnce) {
  for (int threads : team_sizes) {
    Team team(threads);
    std::vector<int> done(static_cast<std::size_t>(threads), 0);
    std::atomic<int> other_counts = 0;
    on_team(stream_of(team), true, [&](int count, int thread) {
      if (count != threads) ++other_counts;
      ++done[static_cast<std::size_t>(thread)];
    });
    EXPECT_EQ(other_counts, 0);
    EXPECT_EQ(done, std::vector<int>(static_cast<std::size_t>(threads), 1)) << threads << " threads";
  }
}

TEST(Team, EveryPartIsDoneOnce) {
  for (int threads : team_sizes) {
    Team team(threads);
    for (std::int64_t parts : {0, 1, 2, 7, 1000}) {
      std::vector<int> done(static_cast<std::size_t>(parts), 0);
      in_parts(stream_of(team), parts, [&](std::int64_t part) { ++done[static_cast<std::size_t>(part)]; });
      EXPECT_EQ(done, std::vector<int>(static_cast<std::size_t>(parts), 1)) << threads << " threads";
    }
  }
}

TEST(Team, RangesCoverEverythingOnce) {
  for (int threads : team_sizes) {
    Team team(threads);
    for (std::int64_t n : {0, 1, 2, 1001}) {
      std::vector<int> done(static_cast<std::size_t>(n), 0);
      parallel_ranges(stream_of(team), n, 1 << 20, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) ++done[static_cast<std::size_t>(i)];
      });
      EXPECT_EQ(done, std::vector<int>(static_cast<std::size_t>(n), 1)) << threads << " threads";
    }
  }
}

// Plain memory: each job reads what all shares of the one before have written.
TEST(Team, AJobSeesWhatTheOneBeforeHasDone) {
  for (int threads : team_sizes) {
    Team team(threads);
    const CpuStream stream = stream_of(team);
    const int jobs = threads <= available_cores() ? 20'000 : 500;
    const auto size = static_cast<std::size_t>(threads);
    std::vector<long> value(size, 0), next(size, 0);
    for (int job = 1; job <= jobs; ++job) {
      on_team(stream, true, [&](int count, int thread) {
        next[static_cast<std::size_t>(thread)] = std::accumulate(value.begin(), value.end(), 0L) / count + 1;
      });
      value.swap(next);
    }
    EXPECT_EQ(value, std::vector<long>(size, jobs)) << threads << " threads";
  }
}

// Workers and the caller fall asleep at every point: in a share, between jobs, and while the other sleeps.
TEST(Team, SleepersAreWoken) {
  const auto rest = [](int microseconds) { std::this_thread::sleep_for(std::chrono::microseconds(microseconds)); };
  Team team(2);
  int done[2] = {0, 0};
  for (int job = 0; job < 300; ++job) {
    on_team(stream_of(team), true, [&](int, int thread) {
      if ((job + thread) % 3 == 0) rest(job % 4 * 50);
      ++done[thread];
    });
    if (job % 2) rest(job % 5 * 40);
  }
  EXPECT_EQ(done[0], 300);
  EXPECT_EQ(done[1], 300);
}

TEST(Team, WorkersTakePart) {
  Team team(2);
  std::atomic<bool> other = false;
  const std::thread::id caller = std::this_thread::get_id();
  on_team(stream_of(team), true, [&](int, int thread) {
    if (std::this_thread::get_id() != caller) other = true;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (thread == 0 && !other && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  });
  EXPECT_TRUE(other);
}

TEST(Team, AJobInsideAJobRunsOnItsThread) {
  Team team(3), another(2);
  std::atomic<int> wrong = 0, inner = 0;
  on_team(stream_of(team), true, [&](int, int) {
    const std::thread::id here = std::this_thread::get_id();
    for (Team* each : {&team, &another}) {
      on_team(stream_of(*each), true, [&](int threads, int thread) {
        if (threads != 1 || thread != 0 || std::this_thread::get_id() != here) ++wrong;
        ++inner;
      });
      in_parts(stream_of(*each), 5, [&](std::int64_t) { ++inner; });
    }
  });
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(inner, 3 * 2 * (1 + 5));
  // And the next one is shared out again.
  std::atomic<int> shares = 0;
  on_team(stream_of(team), true, [&](int threads, int) { shares += threads; });
  EXPECT_EQ(shares, 9);
}

TEST(Team, WithoutATeamTheCallerDoesEverything) {
  const CpuStream stream{4, Isa::baseline, nullptr};
  int calls = 0;
  on_team(stream, true, [&](int threads, int thread) { calls += threads == 1 && thread == 0; });
  in_parts(stream, 3, [&](std::int64_t part) { calls += part < 3; });
  EXPECT_EQ(calls, 4);
}

TEST(Team, SmallWorkStaysOnTheCaller) {
  Team team(2);
  int calls = 0;
  on_team(stream_of(team), false, [&](int threads, int) { calls += threads; });
  EXPECT_EQ(calls, 1);
}

TEST(Team, EndsWhileItsWorkersSpinOrSleep) {
  for (int round = 0; round < 50; ++round) {
    Team team(3);
    if (round % 2) std::this_thread::sleep_for(std::chrono::microseconds(300));
    if (round % 3 == 0) on_team(stream_of(team), true, [](int, int) {});
  }
}

TEST(Team, WorkersHaveOneOpenMpThread) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(3);
  Team team(2);
  const std::thread::id caller = std::this_thread::get_id();
  std::atomic<int> on_worker = 0;
  for (int job = 0; job < 1000 && on_worker == 0; ++job) {
    on_team(stream_of(team), true, [&](int, int) {
      if (std::this_thread::get_id() != caller) on_worker = omp_get_max_threads();
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    });
  }
  EXPECT_EQ(on_worker, 1);
  {
    const OpenMpOff off;
    EXPECT_EQ(omp_get_max_threads(), 1);
  }
  EXPECT_EQ(omp_get_max_threads(), 3);
  omp_set_num_threads(before);
}

}  // namespace
}  // namespace ganforge
