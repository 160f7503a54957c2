// Conversion between element types.
#include "kernels/map.h"
#include "src/ops/support.h"

namespace ganforge {
namespace {

class CastOp : public Op {
 public:
  explicit CastOp(DType to) : to_(to) {}
  std::string describe() const override { return fmt::format("cast to={}", name_of(to_)); }
  Types infer(const Types& in) const override { return {{to_, in[0].shape}}; }
  Values grad(const Values& in, const Values&, const Values& dout) const override {
    const DType from = in[0].type().dtype;
    if (!is_float(from) || !is_float(to_)) return {};
    return {cast(dout[0], from)};
  }
  Kernel prepare(Device& device, const Types& in) const override {
    const DType from = in[0].dtype;
    if (device.is_cuda() && (from == DType::float64 || to_ == DType::float64)) return {};
    return make_kernel([from, to = to_, n = in[0].shape.elements()](const auto& stream, const Call& call) {
      cast(stream, from, call.in[0], to, call.out[0], n);
    });
  }

 private:
  DType to_;
};

}  // namespace

Value cast(Value x, DType to) {
  return x.type().dtype == to ? x : x.graph().add(CastOp(to), {x})[0];
}

}  // namespace ganforge
