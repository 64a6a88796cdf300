# CPU by default. GPU: docker build --build-arg TORCH_INDEX=<PyTorch's index of CUDA wheels> -t risf:gpu .
FROM python:3.12-slim
ARG TORCH_INDEX=""
WORKDIR /opt/risf
COPY . .
RUN if [ -n "$TORCH_INDEX" ]; then pip install --no-cache-dir --index-url "$TORCH_INDEX" torch torchvision; fi \
    && pip install --no-cache-dir .
WORKDIR /work
ENTRYPOINT ["risf"]
CMD ["--help"]
