"""How the shop finds its custom hooks, which can be switched off."""


def find_and_fire_hook(event_name, instance, user_override=None):
    from .models import CustomHook

    hooks = CustomHook.objects.filter(event=event_name, is_active=True)
    if user_override is not False:
        hooks = hooks.filter(user=user_override or instance.user)
    for hook in hooks:
        hook.deliver_hook(instance)
