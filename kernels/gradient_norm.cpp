// The norm of a gradient on the CPU: one read.
#include "kernels/gradient_norm.h"

#include "kernels/isa.h"
#include "kernels/team.h"

namespace ganforge {
namespace GANFORGE_ISA {

void gradient_norm(const CpuStream& stream, const GradientNormArgs& args) {
  auto* parts = static_cast<double*>(args.workspace);
  const std::int64_t count = (args.n + norm_part - 1) / norm_part;
  in_parts(stream, count, [&](std::int64_t part) {
    const std::int64_t begin = part * norm_part, end = begin + norm_part < args.n ? begin + norm_part : args.n;
    double total = 0;
    for (std::int64_t i = begin; i < end; i += 256) {
      const std::int64_t stop = i + 256 < end ? i + 256 : end;
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (std::int64_t j = i; j < stop; ++j) sum += args.g[j] * args.g[j];
      total += double(sum);
    }
    parts[part] = total;
  });
  double total = 0;
  for (std::int64_t part = 0; part < count; ++part) total += parts[part];
  const float norm = float(double(args.factor) * __builtin_sqrt(total)), share = args.max_norm / (norm + 1e-6f);
  *args.scale = args.factor * (share > 1 ? 1 : share);
}

}  // namespace GANFORGE_ISA

#ifdef GANFORGE_ISA_BASELINE
namespace isa_avx2 {
void gradient_norm(const CpuStream&, const GradientNormArgs&);
}
namespace isa_avx512 {
void gradient_norm(const CpuStream&, const GradientNormArgs&);
}

std::size_t gradient_norm_workspace(std::int64_t n) {
  return std::size_t(n / norm_part + 1) * sizeof(double);
}

void gradient_norm(const CpuStream& stream, const GradientNormArgs& args) {
  pick(stream.isa, isa_baseline::gradient_norm, isa_avx2::gradient_norm, isa_avx512::gradient_norm)(stream, args);
}
#endif

}  // namespace ganforge
