"""The classes that stand for ops in functional graphs.

Keras saves a call of an op as an instance of a class: `ops.mean(x, axis=1)` is a `Mean` with `axis` in its
configuration and `x` among the arguments of the node. The table says, for each op, in which module Keras
keeps the class and which parameters go into the configuration, so that files and summaries come out the same.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from fastkeras.core.operation import OpNode

# op(parameters stored in the configuration), by the last part of Keras' module name.
_TABLE = {
    "numpy": """
        abs absolute add all(axis,keepdims) allclose(rtol,atol,equal_nan) amax(axis,keepdims)
        amin(axis,keepdims) angle any(axis,keepdims) append(axis) arange(dtype) arccos arccosh arcsin
        arcsinh arctan arctan2 arctanh argmax(axis,keepdims) argmin(axis,keepdims) argpartition(kth,axis)
        argsort(axis) array(dtype) array_split(indices_or_sections,axis) average(axis)
        bincount(weights,minlength,sparse) bitwise_and bitwise_invert bitwise_left_shift bitwise_not
        bitwise_or bitwise_right_shift bitwise_xor broadcast_to(shape) cbrt ceil clip(x_min,x_max)
        concatenate(axis) conj conjugate copy corrcoef correlate(mode) cos cosh count_nonzero(axis)
        cross(axisa,axisb,axisc,axis) cumprod(axis,dtype) cumsum(axis,dtype) deg2rad diag(k) diagflat(k)
        diagonal(offset,axis1,axis2) diff(n,axis) digitize divide divide_no_nan dot
        dsplit(indices_or_sections) dstack einsum(subscripts) empty_like(dtype) equal exp exp2
        expand_dims(axis) expm1 fabs flip(axis) fliplr flipud floor floor_divide fmax fmin fmod
        full(shape,dtype) full_like(dtype) gcd geomspace(num,endpoint,dtype,axis) get_item greater
        greater_equal heaviside histogram(bins,range) hsplit(indices_or_sections) hstack hypot i0 imag
        inner isclose(equal_nan) isfinite isin(assume_unique,invert) isinf isnan isneginf isposinf isreal
        kron lcm ldexp left_shift less less_equal linspace(num,endpoint,retstep,dtype,axis) log log10
        log1p log2 logaddexp logaddexp2 logical_and logical_not logical_or logical_xor
        logspace(num,endpoint,base,dtype,axis) matmul max(axis,keepdims,initial) maximum
        mean(axis,keepdims) median(axis,keepdims) meshgrid(indexing) min(axis,keepdims,initial) minimum
        mod moveaxis(source,destination) multiply nan_to_num(nan,posinf,neginf) nanargmax(axis,keepdims)
        nanargmin(axis,keepdims) nancumprod(axis,dtype) nancumsum(axis,dtype) nanmax(axis,keepdims)
        nanmean(axis,keepdims) nanmedian(axis,keepdims) nanmin(axis,keepdims)
        nanpercentile(axis,method,keepdims) nanprod(axis,keepdims) nanquantile(axis,method,keepdims)
        nanstd(axis,keepdims) nansum(axis,keepdims) nanvar(axis,keepdims) ndim negative nextafter nonzero
        not_equal ones_like(dtype) outer pad(pad_width,mode) percentile(axis,method,keepdims) power
        prod(axis,keepdims,dtype) ptp(axis,keepdims) quantile(axis,method,keepdims) rad2deg ravel real
        reciprocal repeat(repeats,axis) reshape(newshape) right_shift roll(shift,axis) rot90(k,axes)
        round(decimals) searchsorted(side) select sign signbit sin sinc sinh size slogdet sort(axis)
        split(indices_or_sections,axis) sqrt square squeeze(axis) stack(axis) std(axis,keepdims) subtract
        sum(axis,keepdims) swapaxes(axis1,axis2) take(axis) take_along_axis(axis) tan tanh tensordot(axes)
        tile(repeats) trace(offset,axis1,axis2) transpose(axes) trapezoid(x,dx,axis) tril(k) triu(k)
        true_divide trunc unique(sorted,return_index,return_inverse,return_counts,axis,size,fill_value)
        unravel_index(shape) vander(N,increasing) var(axis,keepdims) vdot view(dtype)
        vsplit(indices_or_sections) vstack where zeros_like(dtype)
    """,
    "nn": """
        adaptive_average_pool(output_size,data_format) adaptive_max_pool(output_size,data_format)
        average_pool(pool_size,strides,padding,data_format) batch_normalization(axis,epsilon)
        binary_crossentropy(from_logits) categorical_crossentropy(from_logits,axis) celu(alpha)
        conv(strides,padding,data_format,dilation_rate)
        conv_transpose(strides,padding,output_padding,data_format,dilation_rate)
        ctc_decode(strategy,beam_width,top_paths,merge_repeated,mask_index) ctc_loss(mask_index)
        depth_to_space(block_size,data_format) depthwise_conv(strides,padding,data_format,dilation_rate)
        dot_product_attention(is_causal,flash_attention,attn_logits_soft_cap) elu(alpha)
        fold(output_size,kernel_size,dilation,padding,stride) gelu(approximate) glu(axis)
        hard_shrink(threshold) hard_sigmoid hard_silu hard_tanh
        layer_normalization(axis,epsilon,rms_scaling) leaky_relu(negative_slope) log_sigmoid
        log_softmax(axis) max_pool(pool_size,strides,padding,data_format)
        moments(axes,keepdims,synchronized) multi_hot(num_classes,axis,dtype,sparse)
        normalize(axis,order,epsilon) one_hot(num_classes,axis,dtype,sparse) polar psnr(max_val) relu
        relu6 rms_normalization(axis,epsilon) selu
        separable_conv(strides,padding,data_format,dilation_rate) sigmoid silu soft_shrink(threshold)
        softmax(axis) softplus softsign space_to_depth(block_size,data_format)
        sparse_categorical_crossentropy(from_logits,axis) sparse_plus sparse_sigmoid sparsemax(axis)
        squareplus(b) tanh_shrink threshold(threshold,default_value)
        unfold(kernel_size,dilation,padding,stride)
    """,
    "core": """
        associative_scan(reverse,axis) cast(dtype) cond convert_to_tensor(dtype,sparse,ragged)
        fori_loop(lower,upper,body_fun) map saturate_cast(dtype) scan(length,reverse,unroll)
        scatter(shape) scatter_update(reduction) slice(shape) slice_update stop_gradient switch
        unstack(num,axis) vectorized_map(function) while_loop(cond,body,maximum_iterations)
    """,
    "math": """
        cdist erf erfc erfinv extract_sequences(sequence_length,sequence_stride) fft fft2 ifft2
        in_top_k(k) irfft(fft_length)
        istft(sequence_length,sequence_stride,fft_length,length,window,center) logdet
        logsumexp(axis,keepdims) rfft(fft_length) rsqrt segment_max(num_segments,sorted)
        segment_min(num_segments,sorted) segment_prod(num_segments,sorted)
        segment_sum(num_segments,sorted) stft(sequence_length,sequence_stride,fft_length,window,center)
        top_k(k,sorted) view_as_complex view_as_real
    """,
    "linalg": """
        cholesky(upper) cholesky_inverse(upper) det eig eigh inv jvp(has_aux) lstsq(rcond) lu_factor
        matrix_rank(tol) norm(ord,axis,keepdims) pinv(rcond) qr(mode) solve solve_triangular(lower)
        svd(full_matrices,compute_uv)
    """,
    "image": """
        affine_transform(interpolation,fill_mode,fill_value,data_format)
        crop_images(top_cropping,left_cropping,bottom_cropping,right_cropping,target_height,target_width,data_format)
        elastic_transform(alpha,sigma,interpolation,fill_mode,fill_value,seed,data_format)
        extract_patches(size,strides,dilation_rate,padding,data_format)
        gaussian_blur(kernel_size,sigma,data_format) hsv_to_rgb(data_format)
        map_coordinates(order,fill_mode,fill_value)
        pad_images(top_padding,left_padding,bottom_padding,right_padding,target_height,target_width,data_format)
        perspective_transform(interpolation,fill_value,data_format)
        resize(size,interpolation,antialias,crop_to_aspect_ratio,pad_to_aspect_ratio,fill_mode,fill_value,data_format)
        rgb_to_grayscale(data_format) rgb_to_hsv(data_format)
        scale_and_translate(spatial_dims,method,antialias) sobel_edges(data_format)
        ssim(max_val,filter_size,filter_sigma,k1,k2,data_format)
    """,
    "einops": """
        rearrange
    """,
}
# Class names that are not the op's name in camel case.
_CLASS_NAMES = {
    "allclose": "AllClose",
    "batch_normalization": "BatchNorm",
    "cdist": "CDist",
    "ctc_decode": "CTCDecode",
    "ctc_loss": "CTCLoss",
    "fft": "FFT",
    "fft2": "FFT2",
    "hsv_to_rgb": "HSVToRGB",
    "ifft2": "IFFT2",
    "irfft": "IRFFT",
    "isin": "IsIn",
    "istft": "ISTFT",
    "jvp": "JVP",
    "layer_normalization": "LayerNorm",
    "psnr": "PSNR",
    "rfft": "RFFT",
    "rgb_to_grayscale": "RGBToGrayscale",
    "rgb_to_hsv": "RGBToHSV",
    "rms_normalization": "RMSNorm",
    "searchsorted": "SearchSorted",
    "ssim": "SSIM",
    "stft": "STFT",
    "svd": "SVD",
}


_classes: dict[str, type[OpNode]] = {}
_known: dict[str, tuple[str, tuple[str, ...]]] = {}
_by_class_name: dict[str, str] = {}


def _load() -> None:
    for module, text in _TABLE.items():
        for word in text.split():
            name, _, parameters = word.partition("(")
            _known[name] = (
                f"keras.src.ops.{module}",
                tuple(parameters.rstrip(")").split(",")) if parameters else (),
            )
            _by_class_name.setdefault(class_name(name), name)


def class_name(op_name: str) -> str:
    """`"get_item"` -> `"GetItem"`."""
    return _CLASS_NAMES.get(op_name) or "".join(part.capitalize() for part in op_name.split("_"))


def op_class(fn: Callable[..., Any]) -> type[OpNode]:
    """Returns the OpNode subclass for a public op."""
    name = fn.__name__
    found = _classes.get(name)
    if found is not None and found.op_function is fn:
        return found
    if not _known:
        _load()
    module, static = _known.get(name, (None, ()))
    parameters = inspect.signature(fn).parameters.values()
    static = tuple(p.name for p in parameters if p.name in static)
    # A stored parameter before a passed one means that arguments have to be put in order for a call.
    seen_static = mixed = False
    for p in parameters:
        if p.name in static:
            seen_static = True
        elif seen_static and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL):
            mixed = True
    found = _classes[name] = type(
        class_name(name),
        (OpNode,),
        {
            "op_name": name,
            "op_function": staticmethod(fn),
            "keras_module": module,
            "static_parameters": static,
            "mixed_order": tuple((p.name, p.kind is p.VAR_POSITIONAL) for p in parameters) if mixed else None,
            "__module__": "fastkeras.ops",
            "__doc__": f"A call of `fastkeras.ops.{name}` in a functional graph.",
        },
    )
    return found


def op_class_from_keras(name: str) -> type[OpNode] | None:
    """Returns the class for the name Keras gives an op's class, or None if there is no such op."""
    if not _known:
        _load()
    op_name = _by_class_name.get(name)
    if op_name is None:
        return None
    from fastkeras import ops

    fn = getattr(ops, op_name, None)
    if fn is None:
        # Image ops are public in a module of their own only.
        fn = getattr(getattr(ops, _known[op_name][0].rpartition(".")[2], None), op_name, None)
    if fn is None:
        raise NotImplementedError(
            f"The op `fastkeras.ops.{op_name}`, which this model uses, is not available."
        )
    return op_class(fn)


def split_arguments(
    kind: type[OpNode], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[dict[str, Any], tuple[Any, ...], dict[str, Any]]:
    """Divides the arguments of a call into those stored with the operation and those left to the call."""
    if not kind.static_parameters:
        return {}, args, kwargs
    signature = inspect.signature(fn)
    bound = signature.bind(*args, **kwargs)
    given = set(bound.arguments)
    bound.apply_defaults()
    static: dict[str, Any] = {}
    positional: list[Any] = []
    options: dict[str, Any] = {}
    count = 0
    for p in signature.parameters.values():
        value = bound.arguments[p.name]
        if p.name in kind.static_parameters:
            static[p.name] = value
        elif p.kind is p.VAR_POSITIONAL:
            positional.extend(value)
            count = len(positional)
        elif p.kind is p.VAR_KEYWORD:
            options.update(value)
        elif p.kind is p.KEYWORD_ONLY:
            if p.name in given:
                options[p.name] = value
        else:
            positional.append(value)
            if p.name in given:
                count = len(positional)
    # Defaults after the last argument given need not be repeated.
    return static, tuple(positional[:count]), options
