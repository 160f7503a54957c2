// Dropout on the CPU: a loop over quads that the compiler turns into vectors, in parts of 64 KB of each tensor. 1R +
// 1W.
#include "kernels/dropout.h"

#include "kernels/isa.h"
#include "kernels/philox.h"
#include "kernels/team.h"

namespace ganforge {
namespace GANFORGE_ISA {
namespace {

constexpr std::int64_t part_quads = 1 << 12;

/// A number is its 24 bits times 2⁻²⁴, without rounding.
float kept(std::uint32_t word, const DropoutArgs& args, float x) {
  const float u = float(std::int32_t(word >> 8)) * 0x1p-24f;
  return u < args.rate ? 0.0f : x * args.scale;
}

}  // namespace

void dropout(const CpuStream& stream, const DropoutArgs& all) {
  const PhiloxKey key = philox_key(all.seed, purpose_noise);
  const std::int64_t tick = *all.tick, quads = (all.n + 3) / 4, whole = all.n / 4;
  in_parts(stream, (quads + part_quads - 1) / part_quads, [&](std::int64_t part) {
    const DropoutArgs args = all;
    const std::int64_t begin = part * part_quads, end = begin + part_quads < whole ? begin + part_quads : whole;
#pragma GCC ivdep
    for (std::int64_t q = begin; q < end; ++q) {
      const Words w = words_of_quad(key, args.draw, tick, q);
      args.y[4 * q] = kept(w.x0, args, args.x[4 * q]);
      args.y[4 * q + 1] = kept(w.x1, args, args.x[4 * q + 1]);
      args.y[4 * q + 2] = kept(w.x2, args, args.x[4 * q + 2]);
      args.y[4 * q + 3] = kept(w.x3, args, args.x[4 * q + 3]);
    }
    if (end < whole || whole == quads) return;
    const Words w = words_of_quad(key, args.draw, tick, whole);
    const std::uint32_t word[4] = {w.x0, w.x1, w.x2, w.x3};
    for (std::int64_t i = 4 * whole; i < args.n; ++i) args.y[i] = kept(word[i % 4], args, args.x[i]);
  });
}

}  // namespace GANFORGE_ISA

#ifdef GANFORGE_ISA_BASELINE
namespace isa_avx2 {
void dropout(const CpuStream&, const DropoutArgs&);
}
namespace isa_avx512 {
void dropout(const CpuStream&, const DropoutArgs&);
}

void dropout(const CpuStream& stream, const DropoutArgs& args) {
  pick(stream.isa, isa_baseline::dropout, isa_avx2::dropout, isa_avx512::dropout)(stream, args);
}
#endif

}  // namespace ganforge
