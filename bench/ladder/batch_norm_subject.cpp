// Batch norm in training, LeakyReLU behind it. Ours is channels last, the peer channels first.
#include "bench/ladder/ladder.h"
#include "bench/ladder/subjects.h"
#include "kernels/batch_norm.h"

namespace ganforge::ladder {
namespace {

/// [n, pixels, channels] → [n, channels, pixels]
std::vector<float> channels_first(const std::vector<float>& from, int n, int pixels, int channels) {
  std::vector<float> to(from.size());
  std::size_t i = 0;
  for (int image = 0; image < n; ++image)
    for (int c = 0; c < channels; ++c)
      for (int p = 0; p < pixels; ++p) to[i++] = from[static_cast<std::size_t>((image * pixels + p) * channels + c)];
  return to;
}

}  // namespace

std::unique_ptr<Subject> batch_norm_subject(Device& device, Device& cpu, int n, int pixels, int channels) {
  auto subject = std::make_unique<Subject>();
  const auto each = static_cast<std::size_t>(channels);
  const std::vector<float> x = random_floats(static_cast<std::size_t>(n * pixels) * each, 1, -0.5f, 1.5f),
                           gamma = random_floats(each, 2), beta = random_floats(each, 3), mean(each), var(each, 1);
  BatchNormArgs args{};
  args.rows = std::int64_t(n) * pixels;
  args.channels = channels;
  args.groups = 1;
  args.eps = 1e-5f;
  args.momentum = 0.9f;
  args.act = {Activation::Kind::leaky_relu, 0.2f};

  std::vector<float> y(x.size()), new_mean(each), new_var(each), running_mean(each), running_var(each);
  const CpuStream& host = std::get<CpuStream>(cpu.stream());
  Buffer workspace = cpu.allocate(batch_norm_workspace(host, args.rows, channels, 1));
  BatchNormArgs on_host = args;
  on_host.x = x.data(), on_host.gamma = gamma.data(), on_host.beta = beta.data();
  on_host.running_mean = mean.data(), on_host.running_var = var.data(), on_host.y = y.data();
  on_host.mean = new_mean.data(), on_host.var = new_var.data();
  on_host.new_running_mean = running_mean.data(), on_host.new_running_var = running_var.data();
  on_host.workspace = workspace.data();
  batch_norm(host, on_host);

  const CudaStream stream = std::get<CudaStream>(device.stream());
  const auto put = [&](const std::vector<float>& values) { return on_device(device, *subject, values); };
  args.x = put(x), args.gamma = put(gamma), args.beta = put(beta);
  args.running_mean = put(mean), args.running_var = put(var);
  args.y = unwritten(device, *subject, x.size());
  args.mean = unwritten(device, *subject, each), args.var = unwritten(device, *subject, each);
  args.new_running_mean = unwritten(device, *subject, each), args.new_running_var = unwritten(device, *subject, each);
  subject->memory.push_back(device.allocate(batch_norm_workspace(stream, args.rows, channels, 1)));
  args.workspace = subject->memory.back().data();
  const PeerBatchNorm peer{put(channels_first(x, n, pixels, channels)),
                           args.gamma,
                           args.beta,
                           unwritten(device, *subject, x.size()),
                           unwritten(device, *subject, each),
                           unwritten(device, *subject, each),
                           n,
                           channels,
                           pixels,
                           args.eps,
                           args.act.negative_slope};
  subject->bytes = 8.0 * static_cast<double>(x.size());
  subject->reset = [] {};
  subject->rungs.push_back({"ours",
                            fp32_tolerance,
                            [=] { batch_norm(stream, args); },
                            {{args.y, y},
                             {args.mean, new_mean},
                             {args.var, new_var},
                             {args.new_running_mean, running_mean},
                             {args.new_running_var, running_var}}});
  subject->rungs.push_back(
      {"peer: statistics, normalise, activation",
       fp32_tolerance,
       [=] { peer_batch_norm(stream, peer); },
       {{peer.y, channels_first(y, n, pixels, channels)}, {peer.mean, new_mean}, {peer.var, new_var}}});
  return subject;
}

}  // namespace ganforge::ladder
