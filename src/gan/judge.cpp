#include "src/gan/judge.h"

#include <ganforge/error.h>

#include <fmt/format.h>

#include <array>

namespace ganforge {

Shape packed_shape(const Shape& sample, int m) {
  return sample.rank() == 0 ? sample : sample.with(sample.rank() - 1, sample[-1] * m);
}

Value pack_samples(Value x, int m) {
  if (m == 1) return x;
  const Shape& shape = x.shape();
  if (shape[0] % m != 0) throw ShapeError(fmt::format("{} samples do not divide into packs of {}", shape[0], m));
  if (shape.rank() == 2) return reshape(x, {shape[0] / m, m * shape[1]});
  if (shape.rank() != 4) throw ShapeError(fmt::format("packs are of points or images, not of {}", shape.str()));
  const Value packs = reshape(x, {shape[0] / m, m, shape[1] * shape[2], shape[3]});
  return reshape(transpose(packs, std::array{0, 2, 1, 3}), {shape[0] / m, shape[1], shape[2], m * shape[3]});
}

Value Judge::operator()(const Context& context, Value x) {
  const std::int64_t n = x.shape()[0];
  const auto next = [&](Value rows) { return slice(rows, 0, used_, used_ + n); };
  if (disguise_.numbers) x = augment(x, next(disguise_.numbers), disguise_.probability, disguise_.augment);
  if (disguise_.noise) x = x + disguise_.noise_scale * next(disguise_.noise);
  used_ += n;
  return plain(context, x);
}

Value Judge::plain(const Context& context, Value x) const {
  return discriminator_(context, pack_samples(x, disguise_.pack));
}

std::int64_t judged_rows(const TrainerOptions& o, std::span<const Penalty> penalties) {
  std::int64_t passes = 2;  // real and generated
  for (const Penalty& p : penalties)
    if (p.kind == Penalty::Kind::gp || p.kind == Penalty::Kind::dragan) ++passes;
  return o.batch * o.accumulate * (passes * o.d_steps + (is_relativistic(o.objective) ? 2 : 1));
}

}  // namespace ganforge
