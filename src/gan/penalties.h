// The penalties of a training run in its graph.
#pragma once

#include "src/gan/judge.h"

#include <ganforge/gan.h>

#include <map>
#include <span>
#include <string>

namespace ganforge {

/// One of the options' penalties, and its weight in the program that is built.
struct ActivePenalty {
  Penalty::Kind kind;
  Value weight;  ///< a scalar
};

/// What a discriminator's update is made from.
struct DiscriminatorBatch {
  Value real, fake;
  Value share = {};                     ///< [N, 1, …] from U(0, 1): gp
  Value dragan_share = {}, noise = {};  ///< [N, 1, …] and [N, …] from U(0, 1): dragan
  Value labels = {};                    ///< [N], of real and of generated samples alike; absent: none
  std::int64_t classes = 0;
};

struct DiscriminatorPass {
  Value logits;                          ///< of real and generated samples, in this order
  Value penalty;                         ///< weighted sum; absent if there are none
  std::map<std::string, Value> emitted;  ///< of real and generated samples, as the logits
};

/// The labels of a batch of real samples and as many generated ones.
Value labels_of_both(Value labels);

/// The discriminator on a batch, with penalties. A point between samples has the class of the real one. Real and
/// generated samples are one batch of two statistic groups, unless one of r1 and r2 is wanted alone: then its gradient
/// is taken from half the rows.
DiscriminatorPass discriminate(Context& context, Judge& discriminator, const DiscriminatorBatch& batch,
                               std::span<const ActivePenalty> penalties);

}  // namespace ganforge
