// What the two networks minimise.
#pragma once

namespace ganforge {

/// kernels/gan_loss.h has the formulae.
enum class Objective { non_saturating, saturating, least_squares };

}  // namespace ganforge
