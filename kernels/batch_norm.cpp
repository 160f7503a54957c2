// Batch normalisation on the CPU.
//
// Up to `column_rows` rows a part of the work is a few channels, and everything is done for them at once: x comes from
// memory once and then from the L2 cache. Above that the rows are cut into slices, as many as the shape says: partial
// sums of the slices go to the workspace, are merged in slice order, and a third loop normalises: 2R + 1W of the tensor
// forward, 4R + 1W backward (what the activation's derivative is taken from is computed again, not read).
#include "kernels/batch_norm.h"

#include "kernels/channel_loops.h"
#include "kernels/isa.h"
#include "kernels/team.h"
#include "kernels/vector_activate.h"

namespace ganforge {
namespace {

constexpr std::int64_t column_rows = 256, column_channels = 64, min_slice = 128, max_slices = 64;
constexpr int tile_rows = 8;                         // rows whose values are held in registers
constexpr std::int64_t parallel_elements = 1 << 14;  // below, a second thread costs more than it gains

struct Slices {
  std::int64_t rows;  // of a slice; the last one may have fewer
  std::int64_t count;
};

Slices slices_of(std::int64_t rows) {
  if (rows <= column_rows) return {rows, 1};
  const std::int64_t even = (rows + max_slices - 1) / max_slices;
  const std::int64_t slice = even <= min_slice ? min_slice : (even + tile_rows - 1) / tile_rows * tile_rows;
  return {slice, (rows + slice - 1) / slice};
}

std::int64_t least(std::int64_t a, std::int64_t b) {
  return a < b ? a : b;
}

/// in_parts() if the work is worth it.
template <class Function>
void share(const CpuStream& stream, bool worth_it, std::int64_t parts, const Function& f) {
  if (worth_it) return in_parts(stream, parts, f);
  for (std::int64_t part = 0; part < parts; ++part) f(part);
}

}  // namespace

namespace GANFORGE_ISA {
namespace {

/// Mean of x − shift, and the sum of squared distances from that mean, for each channel.
///
/// A tile's mean and squared distances come from its values in registers; tiles are merged by Chan's rule (Chan, Golub,
/// LeVeque 1979). `shift` is a row of the tensor: the rounding of a mean that is large against the deviation stays out.
void moments(const float* x, std::int64_t stride, const float* shift, std::int64_t rows, std::int64_t channels,
             float* mean, float* m2) {
  for (std::int64_t c = 0; c < channels; ++c) mean[c] = m2[c] = 0.0f;
  for_tiles<tile_rows>(rows, [&](std::int64_t r, auto tile) {
    constexpr int n = tile.count;
    const float share = float(n) / float(r + n), weight = float(r) * share;
    for_channels(channels, [&](std::int64_t c, auto part) {
      const Floats k = part.get(shift + c);
      Floats v[n], sum{}, squares{};
      for (int i = 0; i < n; ++i) v[i] = part.get(x + (r + i) * stride + c) - k;
      for (int i = 0; i < n; ++i) sum += v[i];
      const Floats tile_mean = sum * (1.0f / n);
      for (int i = 0; i < n; ++i) squares += (v[i] - tile_mean) * (v[i] - tile_mean);
      const Floats m = part.get(mean + c), delta = tile_mean - m;
      part.put(mean + c, m + delta * share);
      part.put(m2 + c, part.get(m2 + c) + squares + delta * delta * weight);
    });
  });
}

/// γ/√(var + eps). Both passes compute it and what the activation is applied to, (x − mean)·scale + β, alike: the
/// backward pass finds the signs of the forward pass.
void scales(const float* gamma, const float* var, float eps, std::int64_t channels, float* scale) {
  for (std::int64_t c = 0; c < channels; ++c) scale[c] = gamma[c] / __builtin_sqrtf(var[c] + eps);
}

void normalise(const float* x, float* y, std::int64_t stride, std::int64_t rows, std::int64_t channels,
               const float* mean, const float* scale, const float* beta, Activation act) {
  for_tiles<tile_rows>(rows, [&](std::int64_t r, auto tile) {
    for_channels(channels, [&](std::int64_t c, auto part) {
      const Floats m = part.get(mean + c), a = part.get(scale + c), b = part.get(beta + c);
      for (int i = 0; i < tile.count; ++i) {
        const std::int64_t at = (r + i) * stride + c;
        part.put(y + at, activate(act, (part.get(x + at) - m) * a + b));
      }
    });
  });
}

/// dy · act′ at z, the activation's operand.
Floats masked(Activation act, Floats z, Floats dy) {
  if (act.kind == Activation::Kind::leaky_relu) return z > 0.0f ? dy : act.negative_slope * dy;
  return activation_grad(act, activate(act, z), dy);
}

/// The three stages of the forward pass, for group g, slice s, channels [begin, end).
struct Forward {
  const BatchNormArgs& args;
  Slices slices;

  float* partial(int g, std::int64_t s) const {  // mean and m2, of x − the group's first row
    return static_cast<float*>(args.workspace) + (g * slices.count + s) * 2 * args.channels;
  }
  float* scale(int g) const { return partial(args.groups, 0) + g * args.channels; }
  const float* x(int g, std::int64_t row) const { return args.x + (g * args.rows + row) * args.channels; }

  void reduce(int g, std::int64_t s, std::int64_t begin, std::int64_t end) const {
    const std::int64_t first = s * slices.rows, rows = least(slices.rows, args.rows - first);
    float* mean = partial(g, s) + begin;
    moments(x(g, first) + begin, args.channels, x(g, 0) + begin, rows, end - begin, mean, mean + args.channels);
  }

  void finish(int g, std::int64_t begin, std::int64_t end) const {
    const std::int64_t channels = args.channels;
    float *mean = partial(g, 0), *m2 = mean + channels;
    for (std::int64_t s = 1; s < slices.count; ++s) {
      const float *slice_mean = partial(g, s), *slice_m2 = slice_mean + channels;
      const float before = float(s * slices.rows), n = float(least(slices.rows, args.rows - s * slices.rows));
      const float share = n / (before + n);
      for (std::int64_t c = begin; c < end; ++c) {
        const float delta = slice_mean[c] - mean[c];
        mean[c] += delta * share;
        m2[c] += slice_m2[c] + delta * delta * (before * share);
      }
    }
    const float* running_mean = g == 0 ? args.running_mean : args.new_running_mean;
    const float* running_var = g == 0 ? args.running_var : args.new_running_var;
    const float unbiased = args.rows > 1 ? float(args.rows) / float(args.rows - 1) : 1.0f;
    const float keep = args.momentum, take = 1.0f - args.momentum;
    for (std::int64_t c = begin; c < end; ++c) {
      const float group_mean = x(g, 0)[c] + mean[c], var = m2[c] / float(args.rows);
      args.mean[g * channels + c] = group_mean;
      args.var[g * channels + c] = var;
      args.new_running_mean[c] = keep * running_mean[c] + take * group_mean;
      args.new_running_var[c] = keep * running_var[c] + take * (var * unbiased);
    }
    scales(args.gamma + begin, args.var + g * channels + begin, args.eps, end - begin, scale(g) + begin);
  }

  void apply(int g, std::int64_t s, std::int64_t begin, std::int64_t end) const {
    const std::int64_t first = s * slices.rows, rows = least(slices.rows, args.rows - first);
    const std::int64_t at = (g * args.rows + first) * args.channels + begin;
    normalise(args.x + at, args.y + at, args.channels, rows, end - begin, args.mean + g * args.channels + begin,
              scale(g) + begin, args.beta + begin, args.act);
  }
};

/// The same for the backward pass.
struct Backward {
  const BatchNormGradArgs& args;
  Slices slices;

  float* partial(int g, std::int64_t s) const {  // Σ dz, Σ dz·(x − mean) and the scale
    return static_cast<float*>(args.workspace) + (g * slices.count + s) * 3 * args.channels;
  }
  float* factors(int g) const { return partial(args.groups, 0) + g * 3 * args.channels; }

  void reduce(int g, std::int64_t s, std::int64_t begin, std::int64_t end) const {
    const std::int64_t channels = args.channels, first = s * slices.rows, count = end - begin;
    const std::int64_t start = (g * args.rows + first) * channels + begin;
    const float *mean = args.mean + g * channels + begin, *beta = args.beta + begin;
    float *sum = partial(g, s) + begin, *product = sum + channels, *scale = product + channels;
    scales(args.gamma + begin, args.var + g * channels + begin, args.eps, count, scale);
    for (std::int64_t c = 0; c < count; ++c) sum[c] = product[c] = 0.0f;
    for_tiles<tile_rows>(least(slices.rows, args.rows - first), [&](std::int64_t r, auto tile) {
      for_channels(count, [&](std::int64_t c, auto part) {
        const Floats m = part.get(mean + c), a = part.get(scale + c), b = part.get(beta + c);
        Floats tile_sum{}, tile_product{};
        for (int i = 0; i < tile.count; ++i) {
          const std::int64_t at = start + (r + i) * channels + c;
          const Floats centred = part.get(args.x + at) - m;
          const Floats d = masked(args.act, centred * a + b, part.get(args.dy + at));
          tile_sum += d;
          tile_product += d * centred;
        }
        part.put(sum + c, part.get(sum + c) + tile_sum);
        part.put(product + c, part.get(product + c) + tile_product);
      });
    });
  }

  /// dx = f₀·(dz − f₁ − (x − mean)·f₂), f₀ the scale
  void finish(int g, std::int64_t begin, std::int64_t end) const {
    const std::int64_t channels = args.channels;
    float *sum = partial(g, 0), *product = sum + channels;
    for (std::int64_t s = 1; s < slices.count; ++s) {
      const float *slice_sum = partial(g, s), *slice_product = slice_sum + channels;
      for (std::int64_t c = begin; c < end; ++c) {
        sum[c] += slice_sum[c];
        product[c] += slice_product[c];
      }
    }
    const float share = 1.0f / float(args.rows);
    float* f = factors(g);
    for (std::int64_t c = begin; c < end; ++c) {
      const float rstd = 1.0f / __builtin_sqrtf(args.var[g * channels + c] + args.eps);
      const float dgamma = product[c] * rstd;
      f[c] = product[c + channels];
      f[c + channels] = sum[c] * share;
      f[c + 2 * channels] = rstd * (dgamma * share);
      args.dbeta[c] = g == 0 ? sum[c] : args.dbeta[c] + sum[c];
      args.dgamma[c] = g == 0 ? dgamma : args.dgamma[c] + dgamma;
    }
  }

  void apply(int g, std::int64_t s, std::int64_t begin, std::int64_t end) const {
    const std::int64_t channels = args.channels, first = s * slices.rows;
    const std::int64_t start = (g * args.rows + first) * channels + begin;
    const float *mean = args.mean + g * channels + begin, *beta = args.beta + begin, *f = factors(g) + begin;
    for_tiles<tile_rows>(least(slices.rows, args.rows - first), [&](std::int64_t r, auto tile) {
      for_channels(end - begin, [&](std::int64_t c, auto part) {
        const Floats m = part.get(mean + c), b = part.get(beta + c), f0 = part.get(f + c);
        const Floats f1 = part.get(f + channels + c), f2 = part.get(f + 2 * channels + c);
        for (int i = 0; i < tile.count; ++i) {
          const std::int64_t at = start + (r + i) * channels + c;
          const Floats x = part.get(args.x + at), centred = x - m;
          const Floats dz = masked(args.act, centred * f0 + b, part.get(args.dy + at));
          part.put(args.dx + at, activation_grad(args.input_act, x, f0 * (dz - f1 - centred * f2)));
        }
      });
    });
  }
};

template <class Pass, class Args>
void run(const CpuStream& stream, const Args& args) {
  const Pass pass{args, slices_of(args.rows)};
  const std::int64_t channels = args.channels, count = pass.slices.count, parts = args.groups * count;
  const bool parallel = args.rows * channels * args.groups >= parallel_elements;
  if (count == 1) {
    share(stream, parallel, (channels + column_channels - 1) / column_channels, [&](std::int64_t part) {
      const std::int64_t begin = part * column_channels, end = least(begin + column_channels, channels);
      for (int g = 0; g < args.groups; ++g) {
        pass.reduce(g, 0, begin, end);
        pass.finish(g, begin, end);
        pass.apply(g, 0, begin, end);
      }
    });
    return;
  }
  share(stream, parallel, parts, [&](std::int64_t i) { pass.reduce(int(i / count), i % count, 0, channels); });
  for (int g = 0; g < args.groups; ++g) pass.finish(g, 0, channels);
  share(stream, parallel, parts, [&](std::int64_t i) {
    const std::int64_t part = parts - 1 - i;  // backwards: what was read last is still in cache
    pass.apply(int(part / count), part % count, 0, channels);
  });
}

}  // namespace

void batch_norm(const CpuStream& stream, const BatchNormArgs& args) {
  run<Forward>(stream, args);
}

void batch_norm_grad(const CpuStream& stream, const BatchNormGradArgs& args) {
  run<Backward>(stream, args);
}

void batch_norm_inference(const CpuStream& stream, const BatchNormInferenceArgs& args) {
  constexpr std::int64_t part_rows = 64, block = 128;
  const std::int64_t channels = args.channels, parts = (args.rows + part_rows - 1) / part_rows;
  share(stream, args.rows * channels >= parallel_elements, parts, [&](std::int64_t part) {
    const std::int64_t first = part * part_rows, rows = least(part_rows, args.rows - first);
    for (std::int64_t begin = 0; begin < channels; begin += block) {
      const std::int64_t width = least(block, channels - begin), at = first * channels + begin;
      float scale[block];
      scales(args.gamma + begin, args.var + begin, args.eps, width, scale);
      normalise(args.x + at, args.y + at, channels, rows, width, args.mean + begin, scale, args.beta + begin, args.act);
    }
  });
}

}  // namespace GANFORGE_ISA

#ifdef GANFORGE_ISA_BASELINE
namespace isa_avx2 {
void batch_norm(const CpuStream&, const BatchNormArgs&);
void batch_norm_grad(const CpuStream&, const BatchNormGradArgs&);
void batch_norm_inference(const CpuStream&, const BatchNormInferenceArgs&);
}  // namespace isa_avx2
namespace isa_avx512 {
void batch_norm(const CpuStream&, const BatchNormArgs&);
void batch_norm_grad(const CpuStream&, const BatchNormGradArgs&);
void batch_norm_inference(const CpuStream&, const BatchNormInferenceArgs&);
}  // namespace isa_avx512

std::size_t batch_norm_workspace(const CpuStream&, std::int64_t rows, std::int64_t channels, int groups) {
  return std::size_t((slices_of(rows).count * 3 + 3) * groups * channels) * sizeof(float);
}

void batch_norm(const CpuStream& stream, const BatchNormArgs& args) {
  pick(stream.isa, isa_baseline::batch_norm, isa_avx2::batch_norm, isa_avx512::batch_norm)(stream, args);
}

void batch_norm_grad(const CpuStream& stream, const BatchNormGradArgs& args) {
  pick(stream.isa, isa_baseline::batch_norm_grad, isa_avx2::batch_norm_grad, isa_avx512::batch_norm_grad)(stream, args);
}

void batch_norm_inference(const CpuStream& stream, const BatchNormInferenceArgs& args) {
  pick(stream.isa, isa_baseline::batch_norm_inference, isa_avx2::batch_norm_inference,
       isa_avx512::batch_norm_inference)(stream, args);
}
#endif

}  // namespace ganforge
