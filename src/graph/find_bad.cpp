#include "src/graph/find_bad.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace ganforge {
namespace {

/// Index of the first element that is not finite, or −1.
template <class T>
std::int64_t first_bad(Device& device, const void* memory, std::int64_t n) {
  std::vector<T> values(static_cast<std::size_t>(n));
  device.download(values.data(), memory, values.size() * sizeof(T));
  const auto found = std::ranges::find_if(values, [](T x) { return !std::isfinite(x); });
  return found == values.end() ? -1 : found - values.begin();
}

}  // namespace

std::optional<BadValue> find_bad(Device& device, std::span<const Traced> values, bool variables) {
  for (const Traced& traced : values) {
    if (traced.value.variable.empty() == variables) continue;
    const Type& type = traced.value.type;
    const std::int64_t n = type.shape.elements();
    const std::int64_t element = type.dtype == DType::float64 ? first_bad<double>(device, traced.memory, n)
                                                              : first_bad<float>(device, traced.memory, n);
    if (element < 0) continue;
    BadValue found = traced.value;
    found.element = element;
    return found;
  }
  return std::nullopt;
}

}  // namespace ganforge
