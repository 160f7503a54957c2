// The adversarial losses on the CPU: one thread, since there are few logits; sums in double precision.
#include "kernels/gan_loss.h"
#include "kernels/gan_loss_point.h"

namespace ganforge {

void discriminator_loss(const CpuStream&, const DiscriminatorLossArgs& args) {
  const double n = static_cast<double>(args.n);
  double loss = 0, probability[2] = {0, 0};
  std::int64_t correct = 0;
  for (std::int64_t i = 0; i < 2 * args.n; ++i) {
    const bool real = i < args.n;
    const LossPoint point = discriminator_loss_point(args.objective, real, args.real_target, args.logits[i],
                                                     args.logits[real ? i + args.n : i - args.n]);
    loss += point.loss;
    probability[real] += point.probability;
    correct += point.correct;
    args.dlogits[i] = point.gradient / static_cast<float>(n);
  }
  *args.loss = static_cast<float>(loss / n);
  *args.d_real = static_cast<float>(probability[1] / n);
  *args.d_fake = static_cast<float>(probability[0] / n);
  *args.accuracy = static_cast<float>(static_cast<double>(correct) / (2 * n));
}

void generator_loss(const CpuStream&, const GeneratorLossArgs& args) {
  const double n = static_cast<double>(args.n);
  double loss = 0;
  for (std::int64_t i = 0; i < args.n; ++i) {
    const GeneratorLossPoint point =
        generator_loss_point(args.objective, args.logits[i], args.real ? args.real[i] : 0.0f);
    loss += point.loss;
    args.dlogits[i] = point.gradient / static_cast<float>(n);
  }
  *args.loss = static_cast<float>(loss / n);
}

}  // namespace ganforge
