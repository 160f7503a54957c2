#include "kernels/elementwise.cuh"
#include "kernels/map.h"

namespace ganforge {

void map(const CudaStream& stream, const Unary& f, const float* x, float* y, std::int64_t n) {
  std::visit([&](auto function) { launch_map(stream, function, x, y, n, function.name); }, f);
}

void map(const CudaStream& stream, const Binary& f, const BroadcastPlan& plan, const float* x, const float* y,
         float* z) {
  const float* const operands[] = {x, y};
  std::visit([&](auto function) { launch_broadcast(stream, function, plan, operands, z, function.name); }, f);
}

void select(const CudaStream& stream, const BroadcastPlan& plan, const float* c, const float* x, const float* y,
            float* z) {
  const float* const operands[] = {c, x, y};
  launch_broadcast(stream, Select{}, plan, operands, z, "select");
}

void equal(const CudaStream& stream, const BroadcastPlan& plan, const std::int32_t* x, const std::int32_t* y,
           float* z) {
  const std::int32_t* const operands[] = {x, y};
  launch_broadcast(stream, Equal{}, plan, operands, z, "equal");
}

}  // namespace ganforge
