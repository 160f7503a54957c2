// Where a model is built: scopes, parameters, running quantities, reports; and how parameters begin.
#include "kernels/prologue.h"

#include <ganforge/error.h>
#include <ganforge/nn.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace ganforge {

std::string Initializer::str() const {
  switch (kind) {
    case Kind::constant:
      return fmt::format("constant({})", mean);
    case Kind::normal:
      return fmt::format("normal({}, {})", mean, stddev);
    case Kind::uniform:
      return fmt::format("uniform({}, {})", mean, stddev);
    case Kind::glorot_uniform:
      return stddev == 1 ? "glorot_uniform" : fmt::format("glorot_uniform({})", stddev);
    case Kind::fan_in:
      return fmt::format("fan_in({})", stddev);
  }
  return "?";
}

Initializer Initializer::parse(const std::string& text) {
  if (text == "glorot_uniform") return glorot_uniform();
  if (text == "zeros") return zeros();
  if (text == "ones") return ones();
  float a = 0, b = 0;
  int end = 0;
  const int length = static_cast<int>(text.size());
  if (std::sscanf(text.c_str(), "constant(%f)%n", &a, &end) == 1 && end == length) return {Kind::constant, a, 0};
  if (std::sscanf(text.c_str(), "normal(%f,%f)%n", &a, &b, &end) == 2 && end == length && b >= 0) return normal(a, b);
  if (std::sscanf(text.c_str(), "uniform(%f,%f)%n", &a, &b, &end) == 2 && end == length && a < b) return uniform(a, b);
  if (std::sscanf(text.c_str(), "glorot_uniform(%f)%n", &a, &end) == 1 && end == length && a >= 0)
    return glorot_uniform(a);
  if (std::sscanf(text.c_str(), "fan_in(%f)%n", &a, &end) == 1 && end == length && a >= 0) return fan_in(a);
  throw ConfigError(
      fmt::format("unknown initialiser '{}'; known: glorot_uniform, glorot_uniform(gain), fan_in(gain), "
                  "normal(mean, stddev), uniform(low, high), constant(value), zeros, ones",
                  text));
}

Context Context::groups(int groups) const {
  Context context = *this;
  context.groups_ = groups;
  return context;
}

Context Context::ema() const {
  Context context = *this;
  context.ema_ = true;
  return context;
}

Context::Scope::Scope(Context& context, const std::string& name) : context_(context), outer_(context.scope_) {
  if (!context.scope_.empty()) context.scope_ += '/';
  context.scope_ += name;
  context.graph_->set_scope(context.scope_);
}

Context::Scope::~Scope() {
  context_.scope_ = outer_;
  context_.graph_->set_scope(outer_);
}

Value Context::parameter(const std::string& name, const Shape& shape, const Initializer& initial) {
  if (!network_) throw Error(fmt::format("parameter '{}' was asked for outside a Network", name));
  return network_->parameter(*this, scope_ + "/" + name, shape, initial);
}

Value Context::state(const std::string& name, const Shape& shape, const Initializer& initial) {
  const std::string full = scope_ + "/" + name;
  if (!store_->find(full)) {
    Variable& variable = store_->variable(full, {DType::float32, shape});
    const std::vector<float> values = initial_values(initial, full, shape, store_->seed());
    store_->upload(variable, values.data());
  }
  return graph_->read(store_->variable(full, {DType::float32, shape}));
}

void Context::set_state(const std::string& name, Value value) {
  graph_->assign(store_->variable(scope_ + "/" + name, value.type()), value);
}

std::size_t Context::open_layer(const std::string& layer) {
  if (!network_) return 0;
  // network/number_type for a layer of the network, then branch/number_type for each layer that it lies in.
  const std::size_t end = scope_.rfind('/');
  const auto parts = std::ranges::count(scope_, '/');
  std::string line(static_cast<std::size_t>(parts < 3 ? 0 : parts - 1), ' ');
  if (parts >= 3) {
    const std::size_t begin = scope_.rfind('/', end - 1) + 1;
    line += scope_.substr(begin, end - begin) + " ";
  }
  return network_->open_layer(line + layer);
}

void Context::close_layer(std::size_t line, const Shape& output) {
  if (network_) network_->close_layer(line, output);
}

void Context::report(const std::vector<std::pair<std::string, Value>>& quantities) {
  if (quantities.empty() || quantities.size() > statistics_slots)
    throw Error(fmt::format("1 to {} quantities can be reported, got {}", statistics_slots, quantities.size()));
  Values pieces;
  for (const auto& [name, value] : quantities) {
    if (value.shape().elements() != 1)
      throw ShapeError(fmt::format("report: {} is {}, a scalar is wanted", name, value.shape().str()));
    pieces.push_back(reshape(value, {1}));
  }
  constexpr std::int64_t size = statistics_slots * statistics_stride;
  graph_->assign(store_->variable(statistics_variable, {DType::float32, {size}}),
                 concat_aligned(pieces, statistics_stride, size, /*zero_gaps=*/false));
}

std::vector<float> initial_values(const Initializer& initial, const std::string& name, const Shape& shape,
                                  std::uint64_t seed) {
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  // The draw number is a hash of the name (FNV-1a): a weight's start does not depend on what else is built.
  std::uint32_t hash = 2166136261u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  const Draw draw{seed, purpose_initialise, hash, 0};
  const CpuStream stream{1, detect_isa()};
  const std::int64_t tick = 0;
  const auto n = static_cast<std::int64_t>(values.size());
  switch (initial.kind) {
    case Initializer::Kind::constant:
      std::ranges::fill(values, initial.mean);
      break;
    case Initializer::Kind::normal:
      normal(stream, draw, &tick, initial.mean, initial.stddev, values.data(), n);
      break;
    case Initializer::Kind::uniform:
      uniform(stream, draw, &tick, initial.mean, initial.stddev, values.data(), n);
      break;
    case Initializer::Kind::glorot_uniform: {
      const double receptive = shape.rank() > 2 ? static_cast<double>(shape.elements() / (shape[0] * shape[-1])) : 1.0;
      const double fans = receptive * static_cast<double>(shape[0] + shape[-1]);
      const auto limit = static_cast<float>(static_cast<double>(initial.stddev) * std::sqrt(6.0 / fans));
      uniform(stream, draw, &tick, -limit, limit, values.data(), n);
      break;
    }
    case Initializer::Kind::fan_in: {
      const auto fan_in = static_cast<float>(shape.elements() / shape[0]);
      normal(stream, draw, &tick, 0, initial.stddev / std::sqrt(fan_in), values.data(), n);
      break;
    }
  }
  return values;
}

}  // namespace ganforge
