// A discriminator and what samples pass through on their way into it.
#pragma once

#include <ganforge/gan.h>

namespace ganforge {

/// Of everything that the discriminator judges in a step; rows of numbers and noise are used up pass by pass.
struct Disguise {
  Augmentation augment = {};
  Value numbers = {}, probability = {};  ///< [rows, augment_numbers] and a scalar; absent without augmentation
  Value noise = {}, noise_scale = {};    ///< [rows, …] and a scalar, added behind the augmentation; absent: none
  int pack = 1;                          ///< so many neighbours are one input (PacGAN: Lin et al., arXiv:1712.04086)
};

/// m neighbours side by side: [N, features] → [N/m, m·features], [N, H, W, C] → [N/m, H, W, m·C].
Value pack_samples(Value x, int m);
/// The shape of a packed sample.
Shape packed_shape(const Shape& sample, int m);

class Judge {
 public:
  explicit Judge(Network& discriminator, Disguise disguise = {})
      : discriminator_(discriminator), disguise_(std::move(disguise)) {}

  /// Logits of x [N, …], N/pack of them.
  Value operator()(const Context& context, Value x);
  /// Without augmentation and noise.
  Value plain(const Context& context, Value x) const;

 private:
  Network& discriminator_;
  Disguise disguise_;
  std::int64_t used_ = 0;  ///< rows
};

/// At first or later.
inline bool has_instance_noise(const TrainerOptions& o) {
  return o.instance_noise > 0 || o.instance_noise_decay.kind != Schedule::Kind::constant;
}

/// Rows that the passes of one step take: `penalties` are those of the step.
std::int64_t judged_rows(const TrainerOptions& options, std::span<const Penalty> penalties);

}  // namespace ganforge
