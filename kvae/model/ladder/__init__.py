"""A hierarchy of convolutional blocks whose latent dimensions come in groups, from coarse to fine.

| file | what it is |
|---|---|
| plan.py | the sizes: which groups and levels an image size leads to |
| bottom_up.py | images -> what each group's posterior needs to know of them |
| top_down.py | codes -> parameters of the likelihood, group by group |
| posterior.py | the posterior, each of whose groups depends on the draws of those before it; for your own ladders too |
| memo.py | so that the top-down pass that made a code is not repeated to decode it |
| networks.py | the encoder and the decoder |

Codes are the standard normal noise of each group: z_l = mu_l + sigma_l * code_l, with the prior's mu_l and sigma_l
computed inside the decoder. So the prior is N(0, I), and the decoder a function of the code, as in other VAEs.

References: Sonderby et al., Ladder Variational Autoencoders, arXiv 1602.02282; Kingma et al., arXiv 1606.04934 (the
top-down pass that both directions share); Vahdat & Kautz, NVAE, arXiv 2007.03898 (posteriors as residuals of the
prior); Child, Very Deep VAEs, arXiv 2011.10650.
"""

from kvae.model.ladder.networks import LadderDecoder, LadderEncoder
from kvae.model.ladder.plan import Level, Plan
from kvae.model.ladder.posterior import HierarchicalPosterior

__all__ = ["HierarchicalPosterior", "LadderDecoder", "LadderEncoder", "Level", "Plan"]
