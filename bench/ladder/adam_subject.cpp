// An update of Adam with the moving average of the weights, over all tensors of a network.
#include "bench/ladder/ladder.h"
#include "bench/ladder/subjects.h"
#include "kernels/adam.h"

#include <numeric>

namespace ganforge::ladder {

std::unique_ptr<Subject> adam_subject(Device& device, Device& cpu, const std::vector<int>& tensors) {
  auto subject = std::make_unique<Subject>();
  const int total = std::accumulate(tensors.begin(), tensors.end(), 0);
  const auto n = static_cast<std::size_t>(total);
  const std::vector<float> w = random_floats(n, 1), g = random_floats(n, 2), m = random_floats(n, 3),
                           v = random_floats(n, 4, 0.1f, 1), ema = random_floats(n, 5), t = {3}, lr = {2e-4f},
                           none = {0};
  AdamArgs args{};
  args.beta1 = 0.5f, args.beta2 = 0.999f, args.eps = 1e-8f, args.ema_decay = 0.999f;
  args.n = total;

  std::vector<float> want[] = {w, m, v, ema, t, none, none};
  AdamArgs host = args;
  host.w = host.new_w = want[0].data(), host.m = host.new_m = want[1].data(), host.v = host.new_v = want[2].data();
  host.ema = host.new_ema = want[3].data(), host.t = host.new_t = want[4].data();
  host.bad_w = want[5].data(), host.bad_g = want[6].data();
  host.g = g.data(), host.lr = lr.data();
  adam(std::get<CpuStream>(cpu.stream()), host);

  const auto put = [&](const std::vector<float>& values) { return on_device(device, *subject, values); };
  float *d_w = put(w), *d_m = put(m), *d_v = put(v), *d_ema = put(ema), *d_t = put(t);
  args.w = args.new_w = d_w, args.m = args.new_m = d_m, args.v = args.new_v = d_v, args.ema = args.new_ema = d_ema;
  args.t = args.new_t = d_t;
  args.g = put(g), args.lr = put(lr), args.bad_w = put(none), args.bad_g = put(none);
  subject->memory.push_back(device.allocate(adam_tickets * sizeof(unsigned)));
  args.ticket = static_cast<unsigned*>(subject->memory.back().data());
  float* const scratch = unwritten(device, *subject, n);
  subject->bytes = 36.0 * static_cast<double>(n);
  subject->reset = [=, &device] {
    device.upload(d_w, w.data(), 4 * n);
    device.upload(d_m, m.data(), 4 * n);
    device.upload(d_v, v.data(), 4 * n);
    device.upload(d_ema, ema.data(), 4 * n);
    device.upload(d_t, t.data(), 4);
  };
  const std::vector<Output> outputs = {{d_w, want[0]}, {d_m, want[1]}, {d_v, want[2]}, {d_ema, want[3]}};
  std::vector<Output> with_t = outputs;
  with_t.insert(with_t.end(), {{d_t, want[4]}, {args.bad_w, want[5]}, {args.bad_g, want[6]}});
  const CudaStream stream = std::get<CudaStream>(device.stream());
  const PeerAdam peer{d_w, d_m, d_v, d_ema, args.g, lr[0], args.beta1, args.beta2, args.eps, args.ema_decay, 4, total};
  subject->rungs.push_back({"ours", fp32_tolerance, [=] { adam(stream, args); }, with_t});
  subject->rungs.push_back(
      {"peer: a launch per tensor", fp32_tolerance, [=] { peer_adam_per_tensor(stream, peer, tensors); }, outputs});
  subject->rungs.push_back(
      {"peer: a launch per operation", fp32_tolerance, [=] { peer_adam_in_passes(stream, peer, scratch); }, outputs});
  return subject;
}

}  // namespace ganforge::ladder
