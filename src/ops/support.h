// What the op files share.
#pragma once

#include <ganforge/error.h>
#include <ganforge/ops.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <type_traits>

namespace ganforge {

/// A kernel that is launched for one node at a time; f(stream, call) is instantiated for every kind of stream.
template <class F>
Kernel make_kernel(F f) {
  Kernel kernel;
  kernel.run = [f](Stream& stream, std::span<const Call> calls) {
    std::visit([&](const auto& s) { f(s, calls[0]); }, stream);
  };
  return kernel;
}

/// A kernel for float32 everywhere and float64 on the CPU; f(stream, call, T{}) computes in T. Empty on CUDA for
/// float64.
template <class F>
Kernel make_float_kernel(Device& device, DType type, F f) {
  Kernel kernel;
  if (type == DType::float32)
    return make_kernel([f](const auto& stream, const Call& call) { f(stream, call, float{}); });
  if (type == DType::float64 && !device.is_cuda())
    kernel.run = [f](Stream& stream, std::span<const Call> calls) {
      f(std::get<CpuStream>(stream), calls[0], double{});
    };
  return kernel;
}

inline void require(bool ok, const std::string& message) {
  if (!ok) throw ShapeError(message);
}

inline void require_float(const Type& type, const char* what) {
  require(is_float(type.dtype), fmt::format("{} must be of a float type, got {}", what, type.str()));
}

inline void require_same_dtype(const Types& in) {
  for (const Type& type : in)
    require(type.dtype == in[0].dtype, fmt::format("operands of different types: {} and {}", in[0].str(), type.str()));
}

/// For builders, whose own checks come before there is an op: opens the message as Graph::add does.
inline void require(const Graph& graph, const char* op, bool ok, const std::string& message) {
  if (!ok) throw ShapeError(fmt::format("{}{}{}: {}", graph.scope(), graph.scope().empty() ? "" : ": ", op, message));
}

/// For builders: negative axes count from the end.
inline int normal_axis(const Graph& graph, const char* op, int axis, const Shape& shape) {
  const int rank = shape.rank();
  require(graph, op, axis >= -rank && axis < rank, fmt::format("axis {} of {}", axis, shape.str()));
  return axis < 0 ? axis + rank : axis;
}

inline std::string describe(const Activation& act) {
  switch (act.kind) {
    case Activation::Kind::none:
      return "none";
    case Activation::Kind::leaky_relu:
      return fmt::format("leaky_relu({})", act.negative_slope);
    case Activation::Kind::tanh:
      return "tanh";
    case Activation::Kind::sigmoid:
      return "sigmoid";
  }
  return "?";
}

std::string describe(const Schedule& schedule);

}  // namespace ganforge
