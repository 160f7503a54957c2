// Weight gradients, of fully connected layers and convolutions, that share a launch.
#pragma once

#include "kernels/conv2d.h"

#include <ganforge/graph.h>

#include <memory>
#include <span>
#include <variant>

namespace ganforge {

/// Which operands of the node are x and y of kernels/conv2d.h. The outputs are dw and, if there is another, the sums of
/// y's channels.
struct WeightGradOperands {
  int x, y;
};

/// Kernel::run of all of them.
template <class S>
struct RunWeightGrads {
  struct Member {
    std::shared_ptr<const void> group;
    WeightGradOperands operands;
  };
  void (*run_group)(const S&, std::span<const ConvGroupMember>);

  void operator()(Stream& stream, std::span<const Call> calls) const {
    ConvGroupMember members[max_conv_group];
    std::size_t count = 0;
    for (const Call& call : calls) {
      const Member& member = *static_cast<const Member*>(call.plan);
      ConvArgs args{};
      args.x = call.input<float>(member.operands.x);
      args.y = call.input<float>(member.operands.y);
      args.out = call.output<float>(0);
      args.bias_grad = call.out.size() > 1 ? call.output<float>(1) : nullptr;
      args.workspace = call.workspace;
      args.tickets = static_cast<unsigned*>(call.persistent);
      members[count++] = {member.group.get(), args};
    }
    run_group(std::get<S>(stream), {members, count});
  }
};

/// Empty if the plan is for a launch of its own.
template <class S>
Kernel weight_grad_kernel(const ConvPlan<S>& plan, WeightGradOperands operands) {
  Kernel kernel;
  if (!plan.group) return kernel;
  kernel.workspace = plan.workspace;
  kernel.persistent = plan.tickets * sizeof(unsigned);
  kernel.note = plan.algorithm;
  kernel.plan = std::make_shared<const typename RunWeightGrads<S>::Member>(plan.group, operands);
  kernel.max_group = max_conv_group;
  kernel.run = RunWeightGrads<S>{plan.run_group};
  return kernel;
}

}  // namespace ganforge
