// Metrics of features that look at all pairs of samples. Squared distances come from inner products, and those block by
// block from a matrix product: ‖x − y‖² = ‖x‖² + ‖y‖² − 2x·y, in float64.
#include "kernels/matmul.h"
#include "kernels/team.h"

#include <ganforge/error.h>
#include <ganforge/metrics.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace ganforge {
namespace {

constexpr int manifold_k = 3, density_k = 5;  // of precision and recall, of density and coverage
constexpr std::int64_t block_rows = 64;
constexpr double infinity = std::numeric_limits<double>::infinity();

struct Points {
  explicit Points(const Features& f)
      : count(f.count),
        size(f.size),
        values(f.values.begin(), f.values.end()),
        squares(static_cast<std::size_t>(count)) {
    for (std::int64_t i = 0; i < count; ++i)
      for (std::int64_t j = 0; j < size; ++j) squares[static_cast<std::size_t>(i)] += row(i)[j] * row(i)[j];
  }
  const double* row(std::int64_t i) const { return values.data() + i * size; }

  std::int64_t count, size;
  std::vector<double> values, squares;
};

/// (x·y/size + 1)³
double kernel(double product, double size) {
  const double base = product / size + 1;
  return base * base * base;
}

/// f(i, products with all of y) for every row i of x, rows shared out between threads.
template <class Function>
void for_each_row(const CpuStream& stream, const Points& x, const Points& y, const Function& f) {
  std::vector<double> buffers(static_cast<std::size_t>(std::max(stream.threads, 1) * block_rows * y.count));
  std::int64_t next = 0;
  on_team(stream, x.count > block_rows, [&](int, int thread) {
    double* products = buffers.data() + thread * block_rows * y.count;
    for (;;) {
      const std::int64_t begin = __atomic_fetch_add(&next, block_rows, __ATOMIC_RELAXED);
      if (begin >= x.count) break;
      const std::int64_t rows = std::min(block_rows, x.count - begin);
      const MatmulShape shape{.m = rows, .n = y.count, .k = x.size, .transpose_b = true};
      matmul(CpuStream{1, stream.isa}, shape, x.row(begin), y.values.data(), products);
      for (std::int64_t i = 0; i < rows; ++i) f(begin + i, products + i * y.count);
    }
  });
}

/// The smallest numbers seen, in order.
class Smallest {
 public:
  Smallest() { values_.fill(infinity); }
  void add(double value) {
    if (!(value < values_.back())) return;
    std::size_t at = values_.size() - 1;
    for (; at > 0 && value < values_[at - 1]; --at) values_[at] = values_[at - 1];
    values_[at] = value;
  }
  double nth(int k) const { return values_[static_cast<std::size_t>(k - 1)]; }

 private:
  std::array<double, density_k> values_;
};

/// Of one set within itself: squared distances to the nearest neighbours, and the kernel's sum over all ordered pairs.
struct Within {
  std::vector<double> to_3rd, to_5th;
  double kernel_sum = 0;
};

Within within(const CpuStream& stream, const Points& x) {
  const auto n = static_cast<std::size_t>(x.count);
  Within result{std::vector<double>(n), std::vector<double>(n)};
  std::vector<double> sums(n);
  for_each_row(stream, x, x, [&](std::int64_t row, const double* products) {
    const auto i = static_cast<std::size_t>(row);
    Smallest nearest;
    double sum = 0;
    for (std::size_t j = 0; j < n; ++j) {
      if (j == i) continue;
      sum += kernel(products[j], static_cast<double>(x.size));
      nearest.add(std::max(0.0, x.squares[i] + x.squares[j] - 2 * products[j]));
    }
    sums[i] = sum;
    result.to_3rd[i] = nearest.nth(manifold_k);
    result.to_5th[i] = nearest.nth(density_k);
  });
  for (const double sum : sums) result.kernel_sum += sum;
  return result;
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

FeatureMetrics compare(const CpuStream& stream, const Points& samples, const Points& reference) {
  const Within own = within(stream, samples), real = within(stream, reference);
  const auto n = static_cast<std::size_t>(samples.count), m = static_cast<std::size_t>(reference.count);
  std::vector<double> precise(n), balls(n), sums(n), recalled(m), covered(m);
  for_each_row(stream, samples, reference, [&](std::int64_t row, const double* products) {
    const auto i = static_cast<std::size_t>(row);
    double sum = 0, in_balls = 0;
    bool in_manifold = false;
    for (std::size_t j = 0; j < m; ++j) {
      sum += kernel(products[j], static_cast<double>(samples.size));
      const double distance = std::max(0.0, samples.squares[i] + reference.squares[j] - 2 * products[j]);
      in_manifold |= distance <= real.to_3rd[j];
      in_balls += distance <= real.to_5th[j];
    }
    precise[i] = in_manifold;
    balls[i] = in_balls;
    sums[i] = sum;
  });
  for_each_row(stream, reference, samples, [&](std::int64_t row, const double* products) {
    const auto j = static_cast<std::size_t>(row);
    bool in_manifold = false, holds_one = false;
    for (std::size_t i = 0; i < n; ++i) {
      const double distance = std::max(0.0, samples.squares[i] + reference.squares[j] - 2 * products[i]);
      in_manifold |= distance <= own.to_3rd[i];
      holds_one |= distance <= real.to_5th[j];
    }
    recalled[j] = in_manifold;
    covered[j] = holds_one;
  });

  const auto a = static_cast<double>(n), b = static_cast<double>(m);
  FeatureMetrics metrics;
  metrics.kernel = own.kernel_sum / (a * (a - 1)) + real.kernel_sum / (b * (b - 1)) - 2 * mean(sums) / b;
  metrics.precision = mean(precise);
  metrics.recall = mean(recalled);
  metrics.density = mean(balls) / density_k;
  metrics.coverage = mean(covered);
  return metrics;
}

}  // namespace

FeatureMetrics compare(const Features& samples, const Features& reference, Device& device) {
  FeatureMetrics metrics;
  const double frechet = frechet_distance(samples, reference);
  if (std::min(samples.count, reference.count) <= density_k)
    throw ConfigError(fmt::format("{} samples against {} have no {}th nearest neighbours: at least {} are wanted",
                                  samples.count, reference.count, density_k, density_k + 1));
  const Points x(samples), y(reference);
  if (device.is_cuda()) {
    Device cpu = Device::cpu();
    metrics = compare(std::get<CpuStream>(cpu.stream()), x, y);
  } else {
    metrics = compare(std::get<CpuStream>(device.stream()), x, y);
  }
  metrics.frechet = frechet;
  return metrics;
}

double class_kl(std::span<const std::int32_t> samples, std::span<const std::int32_t> reference, std::int64_t classes) {
  std::vector<double> q(static_cast<std::size_t>(classes)), p(q.size());
  for (const std::int32_t c : samples) ++q.at(static_cast<std::size_t>(c));
  for (const std::int32_t c : reference) ++p.at(static_cast<std::size_t>(c));
  const auto n = static_cast<double>(samples.size()), m = static_cast<double>(reference.size());
  double kl = 0;
  for (std::size_t c = 0; c < q.size(); ++c)
    if (q[c] > 0) kl += q[c] / n * std::log(q[c] / n / (std::max(p[c], 0.5) / m));
  return kl;
}

}  // namespace ganforge
