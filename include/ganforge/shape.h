// Shapes and element types.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

namespace ganforge {

enum class DType { float32, float64, uint8, int32, int64 };

std::size_t size_of(DType type);
const char* name_of(DType type);
/// True for float32 and float64: the types that gradients exist for.
bool is_float(DType type);

/// Extents of a tensor, outermost first; at most `max_rank` axes. The empty shape is a scalar.
class Shape {
 public:
  static constexpr int max_rank = 6;

  Shape() = default;
  /// Throws ShapeError if there are more than `max_rank` extents or one is negative.
  Shape(std::initializer_list<std::int64_t> extents) : Shape(std::span(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const std::int64_t> extents);

  int rank() const { return rank_; }
  /// Extent of an axis; negative axes count from the end. Throws ShapeError if there is no such axis.
  std::int64_t operator[](int axis) const;
  std::int64_t elements() const;
  std::span<const std::int64_t> extents() const { return {extents_.data(), static_cast<std::size_t>(rank_)}; }
  /// The same shape with one extent replaced.
  Shape with(int axis, std::int64_t extent) const;
  /// "[64, 28, 28, 1]"
  std::string str() const;

  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::array<std::int64_t, max_rank> extents_{};
  int rank_ = 0;
};

/// Element type and shape of a value. Tensors are dense, row-major.
struct Type {
  DType dtype = DType::float32;
  Shape shape;

  std::size_t bytes() const { return size_of(dtype) * static_cast<std::size_t>(shape.elements()); }
  /// "float32 [64, 100]"
  std::string str() const;

  friend bool operator==(const Type&, const Type&) = default;
};

}  // namespace ganforge
