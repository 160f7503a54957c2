// Samples from a trainer's generator.
#include "kernels/random.h"

#include <ganforge/error.h>
#include <ganforge/gan.h>

#include <fmt/format.h>

#include <algorithm>

namespace ganforge {
namespace {

constexpr std::int64_t sampling_batch = 64;
constexpr std::int64_t picture_columns = 10, picture_classes = 32;
/// Numbers of the draws of a sample.
enum { draw_latents, draw_category, draw_continuous };

/// Row `row` of the numbers that `spec` says, the same wherever the row stands.
void draw_row(const CpuStream& stream, const LatentSpec& spec, std::uint64_t seed, std::uint32_t number,
              std::int64_t row, std::span<float> to) {
  const std::int64_t tick = 0, count = std::ssize(to);
  const Draw draw{seed, purpose_sample, number, row * count};
  if (spec.uniform)
    uniform(stream, draw, &tick, spec.low, spec.high, to.data(), count);
  else
    normal(stream, draw, &tick, 0, 1, to.data(), count);
}

}  // namespace

void write_png(const std::filesystem::path& path, const Samples& samples) {
  const Shape sample(samples.shape.extents().subspan(1));
  write_png(path, make_grid(samples.values, sample, samples.low, samples.high, samples.columns));
}

void Trainer::build_sampling(Graph& graph) {
  Context context = Context(graph, store_, Mode::inference).ema();
  const Value z = graph.input("z", {DType::float32, generator_input(options_, sampling_batch)});
  if (generator_->uses_labels())
    context = context.labels(graph.input("labels", {DType::int32, {sampling_batch}}), std::ssize(classes_));
  graph.output("samples", (*generator_)(context, z));
}

Samples Trainer::sample(std::int64_t n, const SampleOptions& wanted) {
  if (n < 1) throw ConfigError(fmt::format("at least one sample is wanted, got {}", n));
  const CodeOptions& codes = options_.codes;
  const auto check = [n](const auto& list, std::int64_t each, const char* what) {
    if (list.empty()) return;
    if (each == 0) throw ConfigError(fmt::format("{} were asked for, but the model takes none", what));
    if (std::ssize(list) != n * each)
      throw ConfigError(fmt::format("{} samples want {} {}, got {}", n, n * each, what, list.size()));
  };
  const auto check_range = [](const std::vector<std::int32_t>& list, std::int64_t below, const char* what) {
    for (const std::int32_t value : list)
      if (value < 0 || value >= below)
        throw ConfigError(fmt::format("{} {} is not one of 0 to {}", what, value, below - 1));
  };
  const std::int64_t classes = generator_->uses_labels() ? std::ssize(classes_) : 0;
  check(wanted.latents, 1, "latents");
  check(wanted.labels, classes > 0 ? 1 : 0, "classes");
  check(wanted.categories, codes.categories > 0 ? 1 : 0, "categories");
  check(wanted.continuous, codes.continuous, "continuous codes");
  check_range(wanted.labels, classes, "class");
  check_range(wanted.categories, codes.categories, "category");

  Program& program = programs_[1];
  const Shape per_run = program.output_type("samples").shape;
  const auto values = static_cast<std::size_t>(per_run.elements());
  const std::int64_t latent = options_.latent.shape.elements(), row = latent + codes.size();
  std::vector<float> z(static_cast<std::size_t>(sampling_batch * row));
  std::vector<std::int32_t> labels(static_cast<std::size_t>(sampling_batch));
  Samples samples{per_run.with(0, n), {}, options_.low, options_.high};
  const CpuStream stream{1, detect_isa()};

  /// The input of sample i; beyond the last one, something.
  const auto fill = [&](std::int64_t i, std::span<float> to) {
    const auto k = static_cast<std::size_t>(i);
    const std::int64_t number = i < n && !wanted.latents.empty() ? wanted.latents[k] : i;
    const auto part = [&](std::int64_t begin, std::int64_t count) {
      return to.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count));
    };
    draw_row(stream, options_.latent, wanted.seed, draw_latents, number, part(0, latent));
    if (codes.categories > 0) {
      float category = 0;
      draw_row(stream, {{1}, true, 0.0f, static_cast<float>(codes.categories)}, wanted.seed, draw_category, number,
               {&category, 1});
      if (i < n && !wanted.categories.empty()) category = static_cast<float>(wanted.categories[k]);
      const std::span<float> hot = part(latent, codes.categories);
      std::ranges::fill(hot, 0.0f);
      hot[static_cast<std::size_t>(category)] = 1;
    }
    if (codes.continuous > 0) {
      const std::span<float> numbers = part(latent + codes.categories, codes.continuous);
      draw_row(stream, {{codes.continuous}, true, -1.0f, 1.0f}, wanted.seed, draw_continuous, number, numbers);
      if (i < n && !wanted.continuous.empty())
        std::copy_n(wanted.continuous.begin() + i * codes.continuous, codes.continuous, numbers.begin());
    }
  };
  for (std::int64_t done = 0; done < n; done += sampling_batch) {
    for (std::int64_t i = 0; i < sampling_batch; ++i) {
      fill(done + i, std::span(z).subspan(static_cast<std::size_t>(i * row), static_cast<std::size_t>(row)));
      if (classes > 0)
        labels[static_cast<std::size_t>(i)] = done + i < n && !wanted.labels.empty()
                                                  ? wanted.labels[static_cast<std::size_t>(done + i)]
                                                  : static_cast<std::int32_t>((done + i) % classes);
    }
    program.upload("z", z.data(), z.size() * sizeof(float));
    if (classes > 0) program.upload("labels", labels.data(), labels.size() * sizeof(std::int32_t));
    program.run();
    samples.values.resize(samples.values.size() + values);
    program.download("samples", samples.values.data() + samples.values.size() - values, values * sizeof(float));
  }
  samples.values.resize(static_cast<std::size_t>(samples.shape.elements()));
  return samples;
}

Samples Trainer::picture(std::int64_t n, std::uint64_t seed) {
  SampleOptions wanted{.seed = seed};
  const CodeOptions& codes = options_.codes;
  std::int64_t rows = 0;
  if (generator_->uses_labels()) {
    rows = std::min<std::int64_t>(std::ssize(classes_), picture_classes);
    for (std::int64_t i = 0; i < rows * picture_columns; ++i) {
      wanted.latents.push_back(i % picture_columns);
      wanted.labels.push_back(static_cast<std::int32_t>(i / picture_columns));
    }
  } else if (codes.size() > 0) {
    // Without categories each continuous code has a row; without continuous codes each column has latents of its own.
    rows = codes.categories > 0 ? codes.categories : codes.continuous;
    for (std::int64_t i = 0; i < rows * picture_columns; ++i) {
      const std::int64_t r = i / picture_columns, column = i % picture_columns;
      wanted.latents.push_back(codes.continuous > 0 ? 0 : column);
      if (codes.categories > 0) wanted.categories.push_back(static_cast<std::int32_t>(r));
      const std::int64_t varied = codes.categories > 0 ? 0 : r;
      for (std::int64_t c = 0; c < codes.continuous; ++c)
        wanted.continuous.push_back(
            c == varied ? 2 * static_cast<float>(column) / static_cast<float>(picture_columns - 1) - 1 : 0.0f);
    }
  }
  if (rows == 0) return sample(n, seed);
  Samples samples = sample(rows * picture_columns, wanted);
  samples.columns = picture_columns;
  return samples;
}

}  // namespace ganforge
