#include <ganforge/error.h>
#include <ganforge/shape.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace ganforge {

std::size_t size_of(DType type) {
  switch (type) {
    case DType::uint8:
      return 1;
    case DType::float32:
    case DType::int32:
      return 4;
    case DType::float64:
    case DType::int64:
      return 8;
  }
  return 0;
}

const char* name_of(DType type) {
  switch (type) {
    case DType::float32:
      return "float32";
    case DType::float64:
      return "float64";
    case DType::uint8:
      return "uint8";
    case DType::int32:
      return "int32";
    case DType::int64:
      return "int64";
  }
  return "?";
}

bool is_float(DType type) {
  return type == DType::float32 || type == DType::float64;
}

Shape::Shape(std::span<const std::int64_t> extents) {
  if (extents.size() > max_rank)
    throw ShapeError(fmt::format("a shape has at most {} axes, got {}", +max_rank, extents.size()));
  for (std::int64_t extent : extents) {
    if (extent < 0) throw ShapeError(fmt::format("negative extent in the shape [{}]", fmt::join(extents, ", ")));
    extents_[rank_++] = extent;
  }
  // Sizes in bytes must be representable too.
  std::int64_t elements = 8;
  bool overflow = false;
  for (std::int64_t extent : extents)
    if (extent > 0) overflow |= __builtin_mul_overflow(elements, extent, &elements);
  if (overflow) throw ShapeError(fmt::format("the shape [{}] has too many elements", fmt::join(extents, ", ")));
}

std::int64_t Shape::operator[](int axis) const {
  const int a = axis < 0 ? axis + rank_ : axis;
  if (a < 0 || a >= rank_) throw ShapeError(fmt::format("axis {} of the shape {}", axis, str()));
  return extents_[a];
}

std::int64_t Shape::elements() const {
  std::int64_t n = 1;
  for (std::int64_t extent : extents()) n *= extent;
  return n;
}

Shape Shape::with(int axis, std::int64_t extent) const {
  (*this)[axis];  // throws if there is no such axis
  Shape shape = *this;
  shape.extents_[axis < 0 ? axis + rank_ : axis] = extent;
  return Shape(shape.extents());
}

std::string Shape::str() const {
  return fmt::format("[{}]", fmt::join(extents(), ", "));
}

std::string Type::str() const {
  return fmt::format("{} {}", name_of(dtype), shape.str());
}

}  // namespace ganforge
