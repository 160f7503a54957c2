// What conditional training adds to a step: latent codes, and the losses of the discriminator's other heads.
#pragma once

#include <ganforge/gan.h>

#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ganforge {

/// What the generator gets for one batch, and the codes that are in it.
struct CodedLatents {
  Value z;           ///< [n, latents, and codes behind them]
  Value categories;  ///< int32 [n]; absent: none
  Value continuous;  ///< [n, numbers]; absent: none
};
/// What is drawn for the codes of `rows` samples.
std::vector<LatentSpec> code_latents(const CodeOptions& options, std::int64_t rows);
/// Equal parts of latents, and of what was drawn for code_latents().
std::vector<CodedLatents> with_codes(Value latents, std::span<const Value> codes, const CodeOptions& options,
                                     int parts);

struct HeadLosses {
  Value weighted;  ///< a scalar to add to a network's loss; absent if the discriminator has no other heads
  std::vector<std::pair<std::string, Value>> report;
};
/// Of what a discriminator emitted, on generated samples of these labels and codes; `both`: on as many real ones of the
/// same labels before them too, and for the discriminator, which learns classes from real samples and codes from
/// generated ones.
HeadLosses head_losses(const TrainerOptions& options, const std::map<std::string, Value>& emitted, Value labels,
                       const CodedLatents& codes, bool both);

}  // namespace ganforge
