#include "bench/machine_peak.h"
#include "bench/stopwatch.h"

#include <unistd.h>

#include <algorithm>
#include <barrier>
#include <cstdint>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

namespace ganforge::bench {
namespace {

// --- multiply-adds ---
// 12 chains cover the latency of two units (Zen: 4 cycles × 2, Skylake 4 × 2, Haswell 5 × 2) and leave registers for
// the operands, also where there are 16.
constexpr int chain_count = 12;

typedef float Floats4 __attribute__((vector_size(16)));
typedef float Floats8 __attribute__((vector_size(32)));
typedef float Floats16 __attribute__((vector_size(64)));

template <class Floats>
[[gnu::always_inline]] inline float run_chains(std::int64_t rounds, float factor, float term) {
  const Floats a = factor - Floats{}, b = term - Floats{};
  Floats chains[chain_count];
#pragma GCC unroll 12
  for (int i = 0; i < chain_count; ++i) chains[i] = a * static_cast<float>(i);
  for (std::int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < chain_count; ++i) chains[i] = chains[i] * a + b;
  }
  float sum = 0;
#pragma GCC unroll 12
  for (int i = 0; i < chain_count; ++i) sum += chains[i][0];
  return sum;
}

float chains_baseline(std::int64_t rounds, float factor, float term) {
  return run_chains<Floats4>(rounds, factor, term);
}
#ifdef __x86_64__
__attribute__((target("avx2,fma"))) float chains_avx2(std::int64_t rounds, float factor, float term) {
  return run_chains<Floats8>(rounds, factor, term);
}
__attribute__((target("avx512f"))) float chains_avx512(std::int64_t rounds, float factor, float term) {
  return run_chains<Floats16>(rounds, factor, term);
}
#endif

struct Chains {
  float (*run)(std::int64_t, float, float);
  int width;
};

Chains chains_of(Isa isa) {
#ifdef __x86_64__
  if (isa == Isa::avx512) return {chains_avx512, 16};
  if (isa == Isa::avx2) return {chains_avx2, 8};
#endif
  (void)isa;
  return {chains_baseline, 4};
}

// --- both ---
/// Seconds that `work(thread)` takes on all threads together, the shortest of `tries`.
double shortest(int threads, int tries, const std::function<void(int)>& work) {
  std::barrier gate(threads);
  double best = 1e30;
  const auto take_part = [&](int thread) {
    for (int i = 0; i < tries; ++i) {
      gate.arrive_and_wait();
      const Stopwatch watch(threads == 1);
      work(thread);
      gate.arrive_and_wait();
      if (thread == 0) best = std::min(best, watch.seconds());
    }
  };
  std::vector<std::jthread> others;
  for (int thread = 1; thread < threads; ++thread) others.emplace_back(take_part, thread);
  take_part(0);
  others.clear();  // joins
  return best;
}

/// Bytes of an array that no cache holds.
std::size_t beyond_caches() {
  const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
  constexpr std::size_t least = std::size_t{64} << 20, most = std::size_t{512} << 20;
  return std::clamp(4 * static_cast<std::size_t>(std::max(cache, 0L)), least, most);
}

}  // namespace

MachinePeak cpu_peak(int threads, Isa isa) {
  MachinePeak peak;

  const Chains chains = chains_of(isa);
  constexpr std::int64_t rounds = 1'000'000;
  std::vector<float> sums(static_cast<std::size_t>(threads));  // kept, so that the chains are
  volatile float factor = 0.999f, term = 1e-3f;                // unknown to the compiler
  const double fma_seconds = shortest(
      threads, 40, [&](int thread) { sums[static_cast<std::size_t>(thread)] = chains.run(rounds, factor, term); });
  peak.flops = 2.0 * chain_count * chains.width * static_cast<double>(rounds) * threads / fma_seconds;

  const std::size_t part = beyond_caches() / static_cast<std::size_t>(threads);
  std::vector<char> from(part * static_cast<std::size_t>(threads), 1), to(from.size(), 2);
  const double copy_seconds = shortest(threads, 20, [&](int thread) {
    const std::size_t begin = part * static_cast<std::size_t>(thread);
    std::memcpy(to.data() + begin, from.data() + begin, part);
  });
  peak.bytes = 2.0 * static_cast<double>(from.size()) / copy_seconds;
  return peak;
}

}  // namespace ganforge::bench
