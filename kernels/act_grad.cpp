// Derivative of an activation on the CPU: every number is read and written once, in parts of 64 KB of each tensor.
#include "kernels/act_grad.h"

#include "kernels/isa.h"
#include "kernels/team.h"
#include "kernels/vector_activate.h"

namespace ganforge {
namespace GANFORGE_ISA {
namespace {

void act_grad_of(const ActGradArgs& args, std::int64_t begin, std::int64_t end, Activation act) {
  std::int64_t i = begin;
  for (; i + lanes <= end; i += lanes) store(args.dx + i, activation_grad(act, load(args.y + i), load(args.dy + i)));
  if (i < end) {
    const Floats y = load_part(args.y + i, end - i), dy = load_part(args.dy + i, end - i);
    store_part(args.dx + i, activation_grad(act, y, dy), end - i);
  }
}

}  // namespace

void act_grad(const CpuStream& stream, const ActGradArgs& args) {
  constexpr std::int64_t part_elements = 1 << 14;
  in_parts(stream, (args.n + part_elements - 1) / part_elements, [&](std::int64_t part) {
    const std::int64_t begin = part * part_elements, rest = args.n - begin;
    const std::int64_t end = begin + (rest < part_elements ? rest : part_elements);
    using Kind = Activation::Kind;
    switch (args.act.kind) {  // each with a loop that does not branch
      case Kind::none:
        return act_grad_of(args, begin, end, {Kind::none});
      case Kind::leaky_relu:
        return act_grad_of(args, begin, end, {Kind::leaky_relu, args.act.negative_slope});
      case Kind::tanh:
        return act_grad_of(args, begin, end, {Kind::tanh});
      case Kind::sigmoid:
        return act_grad_of(args, begin, end, {Kind::sigmoid});
    }
  });
}

}  // namespace GANFORGE_ISA

#ifdef GANFORGE_ISA_BASELINE
namespace isa_avx2 {
void act_grad(const CpuStream&, const ActGradArgs&);
}
namespace isa_avx512 {
void act_grad(const CpuStream&, const ActGradArgs&);
}

void act_grad(const CpuStream& stream, const ActGradArgs& args) {
  pick(stream.isa, isa_baseline::act_grad, isa_avx2::act_grad, isa_avx512::act_grad)(stream, args);
}
#endif

}  // namespace ganforge
