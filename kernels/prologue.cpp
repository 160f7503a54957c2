#include "kernels/prologue.h"
#include "kernels/ring.h"

namespace ganforge {

void prologue(const CpuStream& stream, const PrologueArgs& args) {
  const std::int64_t tick = *args.tick;
  file_statistics(args, tick, 0, 1);
  schedule(stream, args.schedule, args.schedules, &tick, args.schedule_value);
  for (int l = 0; l < args.latents; ++l) {
    const Latent& latent = args.latent[l];
    const Draw draw{args.seed, purpose_noise, latent.draw, latent.first};
    if (latent.kind == Latent::Kind::normal) {
      normal(stream, draw, &tick, 0.0f, 1.0f, latent.z, latent.elements);
    } else {
      uniform(stream, draw, &tick, latent.low, latent.high, latent.z, latent.elements);
    }
  }
  if (args.batch.rows > 0) draw_batch(stream, batch_at(args.batch, tick));
  *args.new_tick = tick + 1;
}

}  // namespace ganforge
