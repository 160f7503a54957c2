#include "src/gan/heads.h"

#include "src/gan/penalties.h"

#include <ganforge/error.h>
#include <ganforge/labels.h>

#include <fmt/format.h>

namespace ganforge {

std::vector<LatentSpec> code_latents(const CodeOptions& o, std::int64_t rows) {
  std::vector<LatentSpec> specs;
  if (o.categories > 0) specs.emplace_back(Shape{rows}, true, 0.0f, static_cast<float>(o.categories));
  if (o.continuous > 0) specs.emplace_back(Shape{rows, o.continuous}, true, -1.0f, 1.0f);
  return specs;
}

std::vector<CodedLatents> with_codes(Value latents, std::span<const Value> codes, const CodeOptions& o, int parts) {
  const Values z = split(latents, parts);
  const Values categories = o.categories > 0 ? split(cast(codes.front(), DType::int32), parts) : Values();
  const Values continuous = o.continuous > 0 ? split(codes.back(), parts) : Values();
  std::vector<CodedLatents> result;
  for (std::size_t k = 0; k < z.size(); ++k) {
    CodedLatents part{z[k], {}, {}};
    Values pieces = {z[k]};
    if (o.categories > 0) pieces.push_back(one_hot(part.categories = categories[k], o.categories));
    if (o.continuous > 0) pieces.push_back(part.continuous = continuous[k]);
    if (pieces.size() > 1) part.z = concat(pieces, 1);
    result.push_back(part);
  }
  return result;
}

HeadLosses head_losses(const TrainerOptions& o, const std::map<std::string, Value>& emitted, Value labels,
                       const CodedLatents& codes, bool both) {
  HeadLosses losses;
  const auto add = [&](Value loss, float weight) {
    const Value weighted = loss * static_cast<double>(weight);
    losses.weighted = losses.weighted ? losses.weighted + weighted : weighted;
  };
  if (const auto found = emitted.find("class_logits"); found != emitted.end()) {
    // Were the discriminator taught the classes of generated samples too, the generator could tell it them by any mark.
    const Values halves = both ? split(found->second, 2) : Values{found->second};
    const CrossEntropy entropy = cross_entropy(halves[0], labels);
    add(entropy.loss, o.classification_weight);
    if (both)
      losses.report = {{"class_loss", entropy.loss},
                       {"class_accuracy", entropy.accuracy},
                       {"class_agreement", cross_entropy(halves[1], labels).accuracy}};
  }
  if (const auto found = emitted.find("codes"); found != emitted.end()) {
    const Value on_fake = both ? split(found->second, 2)[1] : found->second;
    const Value before = losses.weighted;
    losses.weighted = {};
    if (o.codes.categories > 0)
      add(cross_entropy(slice(on_fake, 1, 0, o.codes.categories), codes.categories).loss, o.codes.category_weight);
    if (o.codes.continuous > 0)
      add(mean(square(slice(on_fake, 1, o.codes.categories, o.codes.size()) - codes.continuous)),
          o.codes.continuous_weight);
    losses.report.emplace_back("code_loss", losses.weighted);
    if (before) losses.weighted = before + losses.weighted;
  }
  return losses;
}

void Trainer::check_heads() const {
  const auto& emitted = discriminator_->emitted();
  if (emitted.contains("class_logits")) {
    if (!generator_->uses_labels())
      throw ConfigError(
          "the discriminator has a class_head, but the generator does not take labels: put a layer such as "
          "embedding_multiply or label_concat first");
    if (options_.classification_weight == 0)
      throw ConfigError("classification_weight must be above 0 for a discriminator with a class_head");
  }
  const CodeOptions& codes = options_.codes;
  const auto head = emitted.find("codes");
  if (head == emitted.end()) {
    if (codes.size() > 0)
      throw ConfigError("the generator gets codes, but the discriminator has no code_head to find them again");
    return;
  }
  const std::int64_t found = head->second[1];
  if (found != codes.size())
    throw ConfigError(
        fmt::format("the discriminator's code_head finds {} codes, but the generator gets {} (categories {}, "
                    "continuous {})",
                    found, codes.size(), codes.categories, codes.continuous));
}

}  // namespace ganforge
