#include "src/gan/penalties.h"

#include <ganforge/error.h>

#include <algorithm>

namespace ganforge {

Value squared_gradient_norms(Value logits, Value x) {
  const Value g = grad(sum(logits), {x})[0];
  if (!g) throw Error("a penalty wants the gradient of the logits with respect to x, but they do not depend on it");
  return sum(square(reshape(g, {logits.shape().elements(), -1})), {1});
}

Value zero_centred_penalty(Value logits, Value x) {
  return mean(squared_gradient_norms(logits, x)) * 0.5;
}

Value one_centred_penalty(Value logits, Value x) {
  // The norm has no derivative at 0, and float32 needs the distance.
  return mean(square(sqrt(squared_gradient_norms(logits, x) + 1e-12) - 1.0));
}

Value interpolate(Value real, Value fake, Value share) {
  return real + share * (fake - real);
}

namespace {

/// Standard deviation over all elements.
Value standard_deviation(Value x) {
  return sqrt(mean(square(x - mean(x))));
}

}  // namespace

DiscriminatorPass discriminate(Context& context, Judge& discriminator, const DiscriminatorBatch& batch,
                               std::span<const ActivePenalty> penalties) {
  const auto weight_of = [&](Penalty::Kind kind) {
    const auto found = std::ranges::find(penalties, kind, &ActivePenalty::kind);
    return found == penalties.end() ? Value() : found->weight;
  };
  DiscriminatorPass pass;
  const auto penalise = [&](Value weight, Value penalty) {
    const Value weighted = weight * penalty;
    pass.penalty = pass.penalty ? pass.penalty + weighted : weighted;
  };

  const Value r1 = weight_of(Penalty::Kind::r1), r2 = weight_of(Penalty::Kind::r2);
  if (static_cast<bool>(r1) == static_cast<bool>(r2)) {
    const Value x = concat({batch.real, batch.fake}, 0);
    pass.logits = discriminator(context.groups(2), x);
    if (r1) {
      const Values norms = split(squared_gradient_norms(pass.logits, x), 2);
      penalise(r1, mean(norms[0]) * 0.5);
      penalise(r2, mean(norms[1]) * 0.5);
    }
  } else {
    const Value on_real = discriminator(context, batch.real), on_fake = discriminator(context, batch.fake);
    pass.logits = concat({on_real, on_fake}, 0);
    if (r1) penalise(r1, zero_centred_penalty(on_real, batch.real));
    if (r2) penalise(r2, zero_centred_penalty(on_fake, batch.fake));
  }
  if (const Value gp = weight_of(Penalty::Kind::gp)) {
    const Value x = interpolate(batch.real, batch.fake, batch.share);
    penalise(gp, one_centred_penalty(discriminator(context, x), x));
  }
  if (const Value dragan = weight_of(Penalty::Kind::dragan)) {
    const Value noise = batch.noise * (standard_deviation(batch.real) * 0.5);
    const Value x = batch.real + batch.dragan_share * noise;
    penalise(dragan, one_centred_penalty(discriminator(context, x), x));
  }
  if (const Value consistency = weight_of(Penalty::Kind::consistency)) {
    const Value augmented = split(pass.logits, 2)[0];
    penalise(consistency, mean(square(discriminator.plain(context, batch.real) - augmented)));
  }
  return pass;
}

}  // namespace ganforge
