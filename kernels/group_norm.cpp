// Group normalisation on the CPU.
//
// A part of the work is a sample and some whole groups of at least `span_channels` channels. Channels are what vectors
// run along: first moments (backward: sums) of every channel, then of the groups from those of their channels, then
// each element is finished. Forward 2R + 1W of the tensor, backward 4R + 1W, the second time from the L2 cache where a
// part fits into it. What the activation's derivative is taken from is computed again, not read.
#include "kernels/group_norm.h"

#include "kernels/channel_loops.h"
#include "kernels/isa.h"
#include "kernels/team.h"
#include "kernels/vector_activate.h"

namespace ganforge {
namespace {

constexpr std::int64_t span_channels = 64, tile_pixels = 8;
constexpr std::int64_t parallel_elements = 1 << 14;  // below, a second thread costs more than it gains

std::int64_t least(std::int64_t a, std::int64_t b) {
  return a < b ? a : b;
}

}  // namespace

namespace GANFORGE_ISA {
namespace {

/// Σ f(c) over the channels, f(c, part) a vector whose lanes beyond the last channel are ignored.
template <class Function>
float sum_channels(std::int64_t channels, const Function& f) {
  Floats total{};
  float rest[lanes] = {};
  for_channels(channels, [&](std::int64_t c, auto part) {
    if (c + lanes <= channels)
      total += f(c, part);
    else
      part.put(rest, f(c, part));
  });
  return sum(total + load(rest));
}

/// Some whole groups of a sample. Pointers are to the first of their channels; by channel unless said otherwise.
struct Span {
  GroupNormSizes sizes;
  std::int64_t sample, first, groups, depth;  // first group, how many, channels of each

  Span(const GroupNormSizes& s, std::int64_t of_part, std::int64_t part) : sizes(s), depth(s.channels / s.groups) {
    const std::int64_t parts = (s.groups + of_part - 1) / of_part;
    sample = part / parts;
    first = part % parts * of_part;
    groups = least(of_part, s.groups - first);
  }
  std::int64_t channels() const { return groups * depth; }
  std::int64_t start() const { return sample * sizes.pixels * sizes.channels + first * depth; }
  float* scratch(void* workspace, int array) const {
    return static_cast<float*>(workspace) + (sample * 4 + array) * sizes.channels + first * depth;
  }
};

/// Mean of each channel, and the sum of squared distances from it.
///
/// A tile's mean and squared distances come from its values in registers; tiles are merged by Chan's rule (Chan, Golub,
/// LeVeque 1979). Distances from the first pixel: the rounding of a mean that is large against the deviation stays out.
void moments(const float* x, const Span& span, float* mean, float* m2) {
  const std::int64_t channels = span.channels(), stride = span.sizes.channels;
  for (std::int64_t c = 0; c < channels; ++c) mean[c] = m2[c] = 0.0f;
  for_tiles<tile_pixels>(span.sizes.pixels, [&](std::int64_t p, auto tile) {
    constexpr int n = tile.count;
    const float share = float(n) / float(p + n), weight = float(p) * share;
    for_channels(channels, [&](std::int64_t c, auto part) {
      const Floats shift = part.get(x + c);
      Floats v[n], total{}, squares{};
      for (int i = 0; i < n; ++i) v[i] = part.get(x + (p + i) * stride + c) - shift;
      for (int i = 0; i < n; ++i) total += v[i];
      const Floats tile_mean = total * (1.0f / n);
      for (int i = 0; i < n; ++i) squares += (v[i] - tile_mean) * (v[i] - tile_mean);
      const Floats m = part.get(mean + c), delta = tile_mean - m;
      part.put(mean + c, m + delta * share);
      part.put(m2 + c, part.get(m2 + c) + squares + delta * delta * weight);
    });
  });
  for (std::int64_t c = 0; c < channels; ++c) mean[c] += x[c];
}

/// dy · act′ at z, the activation's operand.
Floats masked(Activation act, Floats z, Floats dy) {
  if (act.kind == Activation::Kind::leaky_relu) return z > 0.0f ? dy : act.negative_slope * dy;
  return activation_grad(act, activate(act, z), dy);
}

/// The groups' mean, and γ/√(var + eps), by channel. Both passes compute them and what the activation is applied to,
/// (x − mean)·scale + β, alike: the backward pass finds the signs of the forward pass.
void factors(const Span& span, const float* gamma, const float* group_mean, const float* group_var, float eps,
             float* mean, float* scale) {
  for (std::int64_t g = 0; g < span.groups; ++g) {
    const float std = __builtin_sqrtf(group_var[g] + eps);
    for (std::int64_t c = g * span.depth; c < (g + 1) * span.depth; ++c) {
      mean[c] = group_mean[g];
      scale[c] = gamma[c] / std;
    }
  }
}

void forward(const GroupNormArgs& args, const Span& span) {
  const std::int64_t c0 = span.first * span.depth, stride = args.sizes.channels, depth = span.depth;
  const auto pixels = static_cast<float>(args.sizes.pixels);
  const float *x = args.x + span.start(), *beta = args.beta + c0;
  float *y = args.y + span.start(), *mean = span.scratch(args.workspace, 0), *scale = span.scratch(args.workspace, 1);
  float* group_mean = args.mean + span.sample * args.sizes.groups + span.first;
  float* group_var = args.var + span.sample * args.sizes.groups + span.first;
  moments(x, span, mean, scale);
  for (std::int64_t g = 0; g < span.groups; ++g) {
    const float *means = mean + g * depth, *m2 = scale + g * depth, origin = means[0];
    const float offset =
        sum_channels(depth, [&](std::int64_t c, auto part) { return part.get(means + c) - origin; }) / float(depth);
    const float centre = origin + offset;
    const float squares = sum_channels(depth, [&](std::int64_t c, auto part) {
      const Floats distance = part.get(means + c) - centre;
      return part.get(m2 + c) + pixels * (distance * distance);
    });
    group_mean[g] = centre;
    group_var[g] = squares / (pixels * float(depth));
  }
  factors(span, args.gamma + c0, group_mean, group_var, args.eps, mean, scale);
  for (std::int64_t p = 0; p < args.sizes.pixels; ++p)
    for_channels(span.channels(), [&](std::int64_t c, auto part) {
      const Floats z = (part.get(x + p * stride + c) - part.get(mean + c)) * part.get(scale + c) + part.get(beta + c);
      part.put(y + p * stride + c, activate(args.act, z));
    });
}

void backward(const GroupNormGradArgs& args, const Span& span) {
  const std::int64_t c0 = span.first * span.depth, stride = args.sizes.channels, depth = span.depth;
  const std::int64_t channels = span.channels(), pixels = args.sizes.pixels;
  const float *x = args.x + span.start(), *dy = args.dy + span.start(), *beta = args.beta + c0,
              *gamma = args.gamma + c0;
  const float* group_mean = args.mean + span.sample * args.sizes.groups + span.first;
  const float* group_var = args.var + span.sample * args.sizes.groups + span.first;
  float *mean = span.scratch(args.workspace, 0), *scale = span.scratch(args.workspace, 1);
  float *k1 = span.scratch(args.workspace, 2), *k2 = span.scratch(args.workspace, 3);
  float *dgamma = args.parameters + span.sample * 2 * stride + c0, *dbeta = dgamma + stride;
  factors(span, gamma, group_mean, group_var, args.eps, mean, scale);

  for (std::int64_t c = 0; c < channels; ++c) dgamma[c] = dbeta[c] = 0.0f;
  for_tiles<tile_pixels>(pixels, [&](std::int64_t p, auto tile) {
    for_channels(channels, [&](std::int64_t c, auto part) {
      const Floats m = part.get(mean + c), a = part.get(scale + c), b = part.get(beta + c);
      Floats total{}, product{};
      for (int i = 0; i < tile.count; ++i) {
        const std::int64_t at = (p + i) * stride + c;
        const Floats centred = part.get(x + at) - m, dz = masked(args.act, centred * a + b, part.get(dy + at));
        total += dz;
        product += dz * centred;
      }
      part.put(dbeta + c, part.get(dbeta + c) + total);
      part.put(dgamma + c, part.get(dgamma + c) + product);
    });
  });
  // dx = scale·dz − k₁ − (x − mean)·k₂
  for (std::int64_t g = 0; g < span.groups; ++g) {
    const std::int64_t begin = g * depth, end = begin + depth;
    const float rstd = 1.0f / __builtin_sqrtf(group_var[g] + args.eps), share = 1.0f / (float(pixels) * float(depth));
    for (std::int64_t c = begin; c < end; ++c) dgamma[c] *= rstd;
    const auto weighted = [&](const float* d) {
      return sum_channels(
          depth, [&](std::int64_t c, auto part) { return part.get(gamma + begin + c) * part.get(d + begin + c); });
    };
    const float of_dz = weighted(dbeta) * share * rstd, of_product = weighted(dgamma) * share * rstd * rstd;
    for (std::int64_t c = begin; c < end; ++c) {
      k1[c] = of_dz;
      k2[c] = of_product;
    }
  }
  float* dx = args.dx + span.start();
  for (std::int64_t p = 0; p < pixels; ++p)
    for_channels(channels, [&](std::int64_t c, auto part) {
      const std::int64_t at = p * stride + c;
      const Floats centred = part.get(x + at) - part.get(mean + c), a = part.get(scale + c);
      const Floats dz = masked(args.act, centred * a + part.get(beta + c), part.get(dy + at));
      part.put(dx + at, a * dz - part.get(k1 + c) - centred * part.get(k2 + c));
    });
}

template <class Args, class Work>
void for_spans(const CpuStream& stream, const Args& args, const Work& work) {
  const GroupNormSizes& s = args.sizes;
  const std::int64_t depth = s.channels / s.groups, of_part = depth < span_channels ? span_channels / depth : 1;
  const std::int64_t parts = s.samples * ((s.groups + of_part - 1) / of_part);
  const auto part = [&](std::int64_t i) { work(args, Span(s, of_part, i)); };
  if (s.samples * s.pixels * s.channels >= parallel_elements) return in_parts(stream, parts, part);
  for (std::int64_t i = 0; i < parts; ++i) part(i);
}

}  // namespace

void group_norm(const CpuStream& stream, const GroupNormArgs& args) {
  for_spans(stream, args, forward);
}

void group_norm_grad(const CpuStream& stream, const GroupNormGradArgs& args) {
  for_spans(stream, args, backward);
}

}  // namespace GANFORGE_ISA

#ifdef GANFORGE_ISA_BASELINE
namespace isa_avx2 {
void group_norm(const CpuStream&, const GroupNormArgs&);
void group_norm_grad(const CpuStream&, const GroupNormGradArgs&);
}  // namespace isa_avx2
namespace isa_avx512 {
void group_norm(const CpuStream&, const GroupNormArgs&);
void group_norm_grad(const CpuStream&, const GroupNormGradArgs&);
}  // namespace isa_avx512

std::size_t group_norm_workspace(const CpuStream&, const GroupNormSizes& sizes) {
  return static_cast<std::size_t>(4 * sizes.samples * sizes.channels) * sizeof(float);
}

void group_norm(const CpuStream& stream, const GroupNormArgs& args) {
  pick(stream.isa, isa_baseline::group_norm, isa_avx2::group_norm, isa_avx512::group_norm)(stream, args);
}

void group_norm_grad(const CpuStream& stream, const GroupNormGradArgs& args) {
  pick(stream.isa, isa_baseline::group_norm_grad, isa_avx2::group_norm_grad, isa_avx512::group_norm_grad)(stream, args);
}
#endif

}  // namespace ganforge
